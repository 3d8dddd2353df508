//! One TCP connection: two loops over the halves of a stream.
//!
//! ```text
//!  peer ──> framer ──> inputs (bounded: a full channel stops the reading, and TCP stops the peer)
//!  peer <── writes     (bounded: a full queue means a peer that does not read, and ends it)
//! ```

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::streams::{Ending, Input};
use crate::sip::transaction::Packet;
use crate::sip::wire::{Frame, StreamFramer};

/// How long the other side may take to answer a connect. A caller's patience decides: SIP's own timer
/// (32 s) would keep the next target waiting.
const CONNECT_TIME: Duration = Duration::from_secs(4);

/// How long a new connection may take to its first whole message: timer F. Who connects and says
/// nothing, or lets a message trickle in, holds one of few places.
const FIRST_FRAME_TIME: Duration = Duration::from_secs(32);

/// How long a connection may be quiet: ten times the keep-alive of RFC 5626 §4.4.1. A phone without
/// keep-alives connects again.
const IDLE_TIME: Duration = Duration::from_secs(20 * 60);

/// How long what is queued may take to leave when nothing comes any more.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// One read's worth.
const READ_BYTES: usize = 16 * 1024;

/// What a connection's task has.
pub(super) struct Connection {
    /// The other side.
    pub(super) peer: SocketAddr,
    /// Tells this connection from others with the same peer.
    pub(super) number: u64,
    /// What is to be written.
    pub(super) writes: mpsc::Receiver<Packet>,
    /// Resolves when the driver lets go of the connection, which is then to end.
    pub(super) released: oneshot::Receiver<()>,
    /// Where what comes goes.
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Connection {
    /// Connects first.
    pub(super) async fn connect(self) {
        let connecting = timeout(CONNECT_TIME, TcpStream::connect(self.peer));
        match connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            // We asked, so the first frame may take as long as any.
            Ok(stream) => self.run(stream, IDLE_TIME).await,
            Err(error) => {
                end(&self.inputs, self.peer, self.number, Ending::Failed(error.kind())).await;
            }
        }
    }

    /// The peer has connected.
    pub(super) async fn accepted(self, stream: TcpStream) {
        self.run(stream, FIRST_FRAME_TIME).await;
    }

    async fn run(self, stream: TcpStream, first_frame: Duration) {
        let Connection { peer, number, writes, released, inputs } = self;
        // A message is one write, and waits for nothing to join it.
        stream.set_nodelay(true).ok();
        let (reading, writing) = stream.into_split();
        let mut writing = pin!(write(writing, writes));
        // Whichever ends, the connection is over.
        let (ending, written) = tokio::select! {
            ending = read(peer, reading, &inputs, first_frame) => (ending, false),
            written = &mut writing => (ending_of(written), true),
            _ = released => (Ending::Idle, false),
        };
        end(&inputs, peer, number, ending).await;
        if !written {
            // What was queued, such as the reply to the last message. Nothing more is queued, since
            // the driver has let go; and a peer that does not read is not waited for.
            timeout(LINGER_TIME, writing).await.ok();
        }
    }
}

async fn read(
    peer: SocketAddr,
    mut reading: OwnedReadHalf,
    inputs: &mpsc::Sender<Input>,
    first_frame: Duration,
) -> Ending {
    let mut framer = StreamFramer::new();
    let mut buf = vec![0; READ_BYTES];
    // One deadline for a whole frame: bytes that trickle do not extend it.
    let mut deadline = tokio::time::Instant::now() + first_frame;
    let mut is_used = false;
    loop {
        let read = match tokio::time::timeout_at(deadline, reading.read(&mut buf)).await {
            Err(_) => return Ending::Idle,
            Ok(Ok(0)) => return Ending::Closed,
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Ending::Failed(error.kind()),
        };
        framer.push(&buf[..read]);
        while let Some(frame) = framer.next_frame() {
            // A keep-alive keeps what has been used, and no place for somebody who never says a thing.
            is_used |= !matches!(frame, Frame::Ping);
            let (frame, last) = match frame {
                Frame::Message(bytes) => (Input::Received(peer, bytes), false),
                Frame::Ping => (Input::Pinged(peer), false),
                Frame::Lost(bytes) => (Input::Received(peer, bytes), true),
            };
            if inputs.send(frame).await.is_err() || last {
                return Ending::Broken;
            }
            if is_used {
                deadline = tokio::time::Instant::now() + IDLE_TIME;
            }
        }
    }
}

async fn end(inputs: &mpsc::Sender<Input>, peer: SocketAddr, number: u64, ending: Ending) {
    // Nobody listens only when the whole driver is gone.
    inputs.send(Input::Ended(peer, number, ending)).await.ok();
}

async fn write(mut writing: OwnedWriteHalf, mut writes: mpsc::Receiver<Packet>) -> io::Result<()> {
    while let Some(packet) = writes.recv().await {
        writing.write_all(&packet).await?;
    }
    writing.shutdown().await
}

fn ending_of(written: io::Result<()>) -> Ending {
    match written {
        Ok(()) => Ending::Idle,
        Err(error) => Ending::Failed(error.kind()),
    }
}
