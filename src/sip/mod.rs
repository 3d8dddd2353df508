//! SIP: everything between a datagram and "the caller hung up", as pure machines.
//!
//! [`Endpoint`] is the one way in. It is told what came and what time it is, and is asked what to send
//! and what happened. `text`, `params`, `uri`, `message`, `header` and `wire` are the values;
//! `transaction` and `dialog` are the machines inside.

pub mod dialog;
pub mod endpoint;
pub mod header;
pub mod message;
pub mod params;
pub mod refer;
pub mod text;
pub mod transaction;
pub mod uri;
pub mod wire;

pub use endpoint::{
    ActionError, Counters, Counts, Endpoint, Event, Invite, Liveness, Peer, Settings, Subnet,
    Transmit, Transport,
};
pub use message::{Body, Headers, Message, Method, Request, Response, StatusCode};
pub use uri::{NameAddr, Uri};
