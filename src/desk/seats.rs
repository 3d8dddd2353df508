//! A listener with so many seats: a connection that finds none waits outside, in the kernel's queue,
//! and one that neither says nor takes anything loses its seat.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// How many connections the desk serves at once: screens and probes, each with a few. A full desk makes
/// the next one wait, and never costs the calls memory or file descriptors.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may keep its seat without a byte going either way. The desk's page asks every
/// second, and programs that ask more seldom open another connection.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// The listener.
pub struct Seats {
    listener: TcpListener,
    free: Arc<Semaphore>,
}

/// A connection in its seat.
pub struct Seated {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _seat: OwnedSemaphorePermit,
}

impl Seats {
    /// Puts seats behind a listener.
    pub fn new(listener: TcpListener) -> Self {
        Seats { listener, free: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl Listener for Seats {
    type Io = Seated;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Seated, SocketAddr) {
        let seat = self.free.clone().acquire_owned().await;
        let seat = seat.expect("this semaphore is never closed");
        // Retries what passes, such as a lack of file descriptors.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (Seated { stream, idle: Box::pin(sleep(IDLE_TIME)), _seat: seat }, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Seated {
    /// Something moved, or it has been quiet for too long, or neither.
    fn unless_idle<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_TIME);
            return polled;
        }
        self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Seated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.unless_idle(context, polled)
    }
}

impl AsyncWrite for Seated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.unless_idle(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The clock that stands still jumps to the end of the idle time, since nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_loses_its_seat() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut seats = Seats::new(listener);
        let (mut seated, _) = seats.accept().await;
        client.write_all(b"G").await.unwrap();

        assert_eq!(seated.read_u8().await.unwrap(), b'G');
        let spoke = Instant::now();
        let error = seated.read_u8().await.unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(spoke.elapsed() >= IDLE_TIME);
        assert_eq!(seats.free.available_permits(), CONNECTIONS_MAX - 1);
        drop(seated);
        assert_eq!(seats.free.available_permits(), CONNECTIONS_MAX);
    }
}
