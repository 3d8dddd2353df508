//! The RTP of one line of a phone: speaks its tone while it talks, keeps what it hears.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem::media::codec::g711;
use tandem::media::rtp::Datagram;
use tandem::media::sdp::{Description, Direction};
use tandem::net::MediaSocket;

use crate::tones::{HERTZ, Voice, WINDOW};

/// The payload types of PCMU and, as most phones have it, of telephone-events.
const PCMU: u8 = 0;
const TELEPHONE_EVENT: u8 = 101;
/// Packets of one key: 100 ms, and the end three times.
const KEY_PACKETS: u16 = 8;

pub struct Sound {
    socket: Box<dyn MediaSocket>,
    voice: Voice,
    remote: Option<SocketAddr>,
    /// What this phone may do, by the last offer and answer.
    direction: Direction,
    /// Since when the world's time counts.
    epoch: Instant,
    sequence: u16,
    timestamp: u32,
    spoken: usize,
    talks_until: Option<Instant>,
    key: Option<(u8, u16)>,
    /// What came, by its place in time: samples since `epoch`.
    heard: Vec<i16>,
    /// The timestamp of the first packet, and its place.
    anchor: Option<(u32, usize)>,
    /// When packets came.
    pub arrivals: Vec<Duration>,
}

impl Sound {
    pub fn new(socket: Box<dyn MediaSocket>, voice: Voice, epoch: Instant) -> Self {
        let sequence = socket.local_addr().port();
        Sound {
            socket,
            voice,
            remote: None,
            direction: Direction::SendRecv,
            epoch,
            sequence,
            timestamp: 0,
            spoken: 0,
            talks_until: None,
            key: None,
            heard: Vec::new(),
            anchor: None,
            arrivals: Vec::new(),
        }
    }

    /// Our description, with what we want to do.
    pub fn describe(&self, version: u32, direction: Direction) -> String {
        let address = self.socket.local_addr();
        let (ip, port) = (address.ip(), address.port());
        let direction = direction.name();
        format!(
            "v=0\r\no=- {port} {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP {PCMU} {TELEPHONE_EVENT}\r\n\
             a=rtpmap:{TELEPHONE_EVENT} telephone-event/8000\r\na={direction}\r\n"
        )
    }

    /// Goes on as the peer's description says. Returns what we may do.
    pub fn agree(&mut self, description: &[u8], wanted: Direction) -> Direction {
        let description = Description::parse(description).expect("a description that can be read");
        let stream = &description.streams[0];
        let address = stream.address.expect("a description has an address");
        self.remote = Some(SocketAddr::new(address, stream.port));
        self.direction = stream.direction.reversed().and(wanted);
        self.direction
    }

    pub fn talk(&mut self, until: Instant) {
        self.talks_until = Some(until);
    }

    pub fn is_talking(&self) -> bool {
        self.talks_until.is_some()
    }

    pub fn press(&mut self, key: char) {
        let event = "0123456789*#ABCD".find(key).expect("a key of a phone");
        self.key = Some((event as u8, 0));
    }

    /// 20 ms: takes what came, sends what is to be sent.
    pub fn tick(&mut self, now: Instant) {
        let mut datagram = [0; 1500];
        while let Ok((length, _)) = self.socket.try_recv(&mut datagram) {
            self.hear(now, &datagram[..length]);
        }
        if self.talks_until.is_some_and(|until| until <= now) {
            self.talks_until = None;
        }
        let Some(remote) = self.remote.filter(|_| self.direction.sends()) else { return };
        let packet = match self.key.take() {
            Some((event, number)) => self.key_packet(event, number),
            None => self.voice_packet(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp += WINDOW as u32;
        self.socket.try_send(&packet, remote).expect("the simulated network takes it");
    }

    fn voice_packet(&mut self) -> Vec<u8> {
        let talks = self.talks_until.is_some();
        let mut packet = self.header(PCMU, self.timestamp);
        packet.extend((0..WINDOW).map(|n| {
            let sample = if talks { self.voice.sample(self.spoken + n) } else { 0 };
            g711::encode_ulaw(sample)
        }));
        self.spoken += WINDOW;
        packet
    }

    /// RFC 4733 §2.3: the event, its end, its volume, how long it lasts; the timestamp is its beginning.
    fn key_packet(&mut self, event: u8, number: u16) -> Vec<u8> {
        let began = self.timestamp.wrapping_sub(u32::from(number) * WINDOW as u32);
        let mut packet = self.header(TELEPHONE_EVENT, began);
        let (end, lasted) = (number >= KEY_PACKETS - 3, number.min(KEY_PACKETS - 3) + 1);
        let duration = (lasted * WINDOW as u16).to_be_bytes();
        packet.extend([event, if end { 0x8a } else { 0x0a }, duration[0], duration[1]]);
        self.key = (number + 1 < KEY_PACKETS).then_some((event, number + 1));
        packet
    }

    fn header(&self, payload_type: u8, timestamp: u32) -> Vec<u8> {
        let ssrc = u32::from(self.socket.local_addr().port());
        let mut header = vec![0x80, payload_type];
        header.extend(self.sequence.to_be_bytes());
        header.extend(timestamp.to_be_bytes());
        header.extend(ssrc.to_be_bytes());
        header
    }

    fn hear(&mut self, now: Instant, datagram: &[u8]) {
        let Datagram::Rtp(packet) = Datagram::parse(datagram) else { return };
        if packet.payload_type != PCMU {
            return;
        }
        let since = now.duration_since(self.epoch);
        self.arrivals.push(since);
        let here = (since.as_millis() as usize) * HERTZ as usize / 1000;
        let (first, place) = *self.anchor.get_or_insert((packet.timestamp, here));
        let offset = packet.timestamp.wrapping_sub(first) as i32;
        let Some(at) = place.checked_add_signed(offset as isize) else { return };
        if self.heard.len() < at + packet.payload.len() {
            self.heard.resize(at + packet.payload.len(), 0);
        }
        for (n, &byte) in packet.payload.iter().enumerate() {
            self.heard[at + n] = g711::ULAW[usize::from(byte)];
        }
    }

    /// What was heard, in samples since the world began.
    pub fn heard(&self) -> &[i16] {
        &self.heard
    }
}
