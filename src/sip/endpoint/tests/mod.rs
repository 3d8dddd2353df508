//! Stories of two endpoints on a simulated wire, and of one endpoint and hand-written datagrams.

mod calls;
mod crossings;
mod dialogs;
mod hostile;
mod phone;
mod refer;
mod referred;
mod reinvite;
mod requests;
mod responses;
mod sweep;
mod world;
