//! What must be true of a story that has been told.

use std::path::Path;

use serde_json::Value;

use super::sound;
use super::trace::Message;
use super::{Asks, Story};

/// What a voice has in common with what was heard: at least, where it is heard, and at most, where it is not.
const HEARD: f32 = 0.9;
const NOT_HEARD: f32 = 0.5;

/// One side's voice is heard by the other side, and is no echo.
pub fn check_heard(voice: &[i16], there: &Path, here: &Path) {
    let (heard, echo) = (sound::likeness(voice, there), sound::likeness(voice, here));
    assert!(heard > HEARD && echo < NOT_HEARD, "{heard} in {there:?}, {echo} in {here:?}");
}

/// All that is left of a story.
pub struct Told<'a> {
    /// The key of the call.
    pub call: &'a str,
    /// Its record, as another process finds it in the store.
    pub record: Value,
    pub callers_messages: Vec<Message>,
    pub humans_messages: Vec<Message>,
}

impl Told<'_> {
    pub fn check(&self, story: &Story) {
        self.check_ways(story);
        self.check_briefing(story);
        self.check_transport(story);
        if story.is_referred() {
            self.check_refer();
        }
        self.check_key(story);
    }

    fn check_ways(&self, story: &Story) {
        let ways = self.record["transfers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let ways = ways.iter().map(|way| (way["method"].as_str(), way["outcome"].as_str()));
        let ways: Vec<_> = ways.collect();
        let wanted = story.ways.iter().map(|&(method, outcome)| (Some(method), Some(outcome)));
        assert_eq!(ways, wanted.collect::<Vec<_>>(), "{:#}", self.record);
    }

    fn check_briefing(&self, story: &Story) {
        let (record, briefing) = (&self.record, &self.record["briefing"]);
        assert_eq!(briefing["reason"], "customer_request", "{record:#}");
        match story.asks {
            Asks::Says { word, .. } => {
                let words = briefing["trigger_text"].as_str().unwrap_or_default().to_lowercase();
                assert!(words.contains(word), "`{word}` in {record:#}");
            }
            Asks::Presses(key) => {
                let keys = record["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
                let keys: Vec<_> = keys.iter().map(|pressed| pressed["digit"].as_str()).collect();
                // Once, though its packets come again and again.
                assert_eq!(keys, [Some(key)], "{record:#}");
            }
        }
    }

    /// Requests of both sides came the way that the caller chose.
    fn check_transport(&self, story: &Story) {
        let way = format!("{} ", story.transport.to_uppercase());
        for message in self.in_call() {
            assert!(message.way.starts_with(&way), "{message}");
        }
    }

    /// One REFER, then a NOTIFY that the human has answered, and only then our BYE.
    fn check_refer(&self) {
        let messages: Vec<&Message> = self.in_call().collect();
        let places = |is_it: fn(&Message) -> bool| -> Vec<usize> {
            let places = messages.iter().enumerate().filter(|(_, message)| is_it(message));
            places.map(|(place, _)| place).collect()
        };
        let refers = places(|message| message.is_request("REFER") && message.is_ours());
        let notified =
            places(|message| message.is_request("NOTIFY") && message.has("SIP/2.0 200 OK"));
        let left = places(|message| message.is_request("BYE") && message.is_ours());
        match (&refers[..], &notified[..], &left[..]) {
            ([refer], [notified], [left]) if refer < notified && notified < left => (),
            order => {
                let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
                panic!("REFER, NOTIFY, BYE: {order:?} of\n{}", messages.join("\n"));
            }
        }
    }

    /// The INVITE by which the human was reached has the key of the call.
    fn check_key(&self, story: &Story) {
        let mut invites = self.humans_messages.iter().rev();
        let invite = invites.find(|message| message.opens_dialog());
        let invite = invite.expect("the human is called");
        let call = self.call;
        if story.is_referred() {
            // What stands behind the `?` of a Refer-To is meant for the header (RFC 3261 §19.1.5). baresip leaves
            // it in the Request-URI, where the human's side finds it as well.
            let start = invite.text.lines().next().unwrap_or_default();
            let key = format!("?X-Tandem-Call-ID={call} SIP/2.0");
            assert!(!invite.is_ours() && start.ends_with(&key), "{invite}");
        } else {
            assert!(invite.is_ours(), "{invite}");
            assert!(invite.has(&format!("X-Tandem-Call-ID: {call}")), "{invite}");
        }
    }

    /// What the caller's phone sent and received in the dialog with us.
    fn in_call(&self) -> impl Iterator<Item = &Message> {
        let call_id = format!("Call-ID: {}", self.call);
        self.callers_messages.iter().filter(move |message| message.has(&call_id))
    }
}
