//! The other side of a phone's calls where it has to be something else than a phone.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::call::leg::{Answering, Leg};
use crate::ids::DialogId;
use crate::media::codec::Codec;
use crate::net::Signaling;
use crate::net::signaling::Listen;
use crate::net::sim::SimNetwork;
use crate::sip::{Body, Event, Headers, Invite, NameAddr, Peer, Transport, Uri};

/// A server that answers and sends its caller elsewhere, and has no media of its own.
pub struct Switchboard {
    signaling: Signaling,
    events: mpsc::Receiver<Event>,
    dialog: Option<DialogId>,
    /// Our last description.
    description: String,
}

impl Switchboard {
    pub fn open(network: &SimNetwork, ip: &str) -> Self {
        let host = network.host(ip.parse().expect("an address"));
        let listen = Listen {
            addresses: vec![(Transport::Udp, format!("{ip}:0").parse().expect("an address"))],
            external_ip: None,
            user_agent: "switchboard".into(),
            calls_max: 10,
            trusted: Vec::new(),
            takes_refer: false,
            seed: 5,
        };
        let (signaling, events) = Signaling::spawn(&*host, listen).expect("it listens");
        Switchboard { signaling, events, dialog: None, description: String::new() }
    }

    pub fn uri(&self) -> Uri {
        let address = self.signaling.sent_by(Transport::Udp).expect("an address");
        format!("sip:us@{address}").parse().expect("a URI")
    }

    pub async fn next(&mut self) -> Event {
        self.events.recv().await.expect("the signalling lives")
    }

    pub async fn answers(&mut self) {
        let Event::Invited { dialog, request, .. } = self.next().await else { panic!("a call") };
        let ip = self.signaling.sent_by(Transport::Udp).expect("an address").ip();
        let mut leg = Leg::new(dialog, ip, 4000, vec![Codec::Pcmu], 1);
        let Ok(Answering::With(body, _)) = leg.answer(request.body.as_ref()) else {
            panic!("an offer")
        };
        self.description = String::from_utf8_lossy(&body.bytes).into_owned();
        self.signaling.answer(dialog, body, Headers::default()).expect("an order");
        self.dialog = Some(dialog);
        while !matches!(self.next().await, Event::Acknowledged { .. }) {}
    }

    pub fn refers(&self, refer_to: &str) {
        let dialog = self.dialog.expect("a call");
        self.signaling.refer(dialog, refer_to.into(), Headers::default()).expect("an order");
    }

    /// Answers, refers after five seconds, and returns how that went: each status, and whether it was
    /// the last word.
    pub async fn transfers(&mut self, refer_to: &str) -> Vec<(u16, bool)> {
        self.answers().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.refers(refer_to);
        let mut progress = Vec::new();
        loop {
            match self.next().await {
                Event::ReferAnswered { status, .. } if !status.is_success() => {
                    progress.push((status.code(), true));
                    return progress;
                }
                Event::ReferProgress { status, terminated, .. } => {
                    progress.push((status.code(), terminated));
                    if terminated {
                        if status.is_success() {
                            self.hangs_up();
                        }
                        return progress;
                    }
                }
                _ => (),
            }
        }
    }

    /// Offers the same session again in another direction, and returns what the phone makes of it.
    pub async fn turns(&mut self, from: &str, to: &str) -> String {
        // RFC 3264 §8: a new description has a new version.
        self.description = self.description.replace(from, to).replacen("o=- 1 1 ", "o=- 1 2 ", 1);
        let body = Body::new("application/sdp", self.description.as_bytes());
        self.signaling.reinvite(self.dialog.expect("a call"), body).expect("an order");
        loop {
            if let Event::ReinviteAnswered { body: Some(body), .. } = self.next().await {
                return String::from_utf8_lossy(&body.bytes).into_owned();
            }
        }
    }

    /// Calls somebody without an offer, and returns the one that comes. Its ACK has no answer.
    pub async fn calls_without_an_offer(&mut self, uri: &Uri, to_peer: Peer) -> String {
        let invite = Invite {
            uri: uri.clone(),
            to_peer,
            from: NameAddr::new(self.uri()),
            to: NameAddr::new(uri.clone()),
            call_id: None,
            headers: Headers::default(),
            body: None,
        };
        let dialog = self.signaling.new_dialog();
        self.signaling.invite(dialog, invite).expect("an order");
        loop {
            if let Event::Answered { response, .. } = self.next().await {
                let offer = response.body.clone().expect("an offer");
                self.dialog = Some(dialog);
                return String::from_utf8_lossy(&offer.bytes).into_owned();
            }
        }
    }

    pub fn hangs_up(&self) {
        self.signaling.hang_up(self.dialog.expect("a call"), None).expect("an order");
    }

    /// Lives until its last dialog is over.
    pub async fn ends(&mut self) {
        while self.signaling.tables().dialogs() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
