//! A call that is up while others do harm.

use std::net::UdpSocket;
use std::time::Duration;

use crate::common::LOOPBACK;
use crate::common::peer::{Message, Peer, Request};
use crate::common::server::Server;

/// A call that is up, to be harmed.
pub struct HeldCall {
    pub peer: Peer,
    pub invite: Request,
    /// The 200 of the INVITE.
    pub answer: Message,
    /// Where its sound comes.
    sound: UdpSocket,
}

impl HeldCall {
    pub fn begin(server: &Server) -> Self {
        let peer = Peer::new(LOOPBACK, server.sip);
        let sound = UdpSocket::bind((LOOPBACK, 0)).expect("a free port");
        let port = sound.local_addr().expect("bound").port();
        let invite = Request::new("INVITE", "desk", "held").offering(port);
        peer.request(&invite);
        let answer = peer.answer(&invite);
        assert_eq!(answer.status(), Some(200));
        peer.request(&invite.inside("ACK", &answer, 1));
        let call = HeldCall { peer, invite, answer, sound };
        call.is_heard();
        call
    }

    /// The program knows the dialog.
    pub fn is_up(&self, seq: u32) {
        let options = self.invite.inside("OPTIONS", &self.answer, seq);
        self.peer.request(&options);
        assert_eq!(self.peer.answer(&options).status(), Some(200));
    }

    /// Its sound comes: what has come until now does not count.
    pub fn is_heard(&self) {
        let mut packet = [0; 2048];
        self.sound.set_nonblocking(true).expect("a socket");
        while self.sound.recv(&mut packet).is_ok() {}
        self.sound.set_nonblocking(false).expect("a socket");
        self.sound.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        let length = self.sound.recv(&mut packet).expect("the call has no sound");
        assert_eq!((length, packet[0]), (172, 0x80), "no RTP");
    }

    pub fn goes_on_and_ends(self) {
        self.is_heard();
        self.is_up(100);
        let bye = self.invite.inside("BYE", &self.answer, 101);
        self.peer.request(&bye);
        assert_eq!(self.peer.answer(&bye).status(), Some(200));
    }
}
