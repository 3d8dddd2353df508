//! The desk: what people and programs outside see of the calls, over HTTP.
//!
//! [`wire`] has the shapes and is the only place that knows them; `routes` answers; `guard` decides who
//! may ask; [`screen`] tells other systems that a call is coming. What is shown is a reading of the
//! journals: the desk asks the recorder and no call.

pub mod wire;
pub mod screen;
mod guard;
mod page;
mod routes;
mod seats;

use std::net::SocketAddr;
use std::sync::Arc;
use std::{fmt, io};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::context::Recorder;

use guard::Guard;
use seats::Seats;

/// What the desk is asked to be.
#[derive(Clone, Default)]
pub struct DeskSettings {
    /// What a program shows to be let in. Without one, the desk listens on loopback only.
    pub token: Option<String>,
}

/// What the desk needs to know from the rest of the program.
#[derive(Clone)]
pub struct Sources {
    /// The journals.
    pub recorder: Recorder,
    /// The metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Why no new call should come here, such as draining; empty if one may. The store's health is
    /// asked for besides.
    pub not_ready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// A desk that has its address and does not answer yet.
pub struct Desk {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

/// Why the desk cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Whoever can reach it could read every call.
    #[error("the desk on {listen} needs a token: only on loopback it may go without")]
    TokenMissing {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The address cannot be had.
    #[error("the desk cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl Desk {
    /// Takes the address; port 0 is any that is free.
    pub async fn bind(listen: SocketAddr, settings: DeskSettings) -> Result<Self, DeskError> {
        // An empty token is a variable that nobody has set, and would let everybody in.
        let token = settings.token.filter(|token| !token.trim().is_empty());
        let guard = match &token {
            Some(token) => Guard::token(token),
            None if listen.ip().is_loopback() => Guard::Loopback,
            None => return Err(DeskError::TokenMissing { listen }),
        };
        let failed = |cause| DeskError::Listen { listen, cause };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Desk { listener, address, guard })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until it is stopped; requests that are being answered are answered.
    pub async fn serve(self, sources: Sources, stop: CancellationToken) -> io::Result<()> {
        let router = routes::router(self.guard, sources);
        let stopped = async move { stop.cancelled().await };
        axum::serve(Seats::new(self.listener), router).with_graceful_shutdown(stopped).await
    }
}

impl fmt::Debug for DeskSettings {
    /// Without the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeskSettings").field("token", &self.token.is_some()).finish()
    }
}

#[cfg(test)]
mod tests;
