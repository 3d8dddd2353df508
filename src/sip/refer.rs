//! The subscriptions that our REFERs open (RFC 3515, RFC 6665), within one dialog.
//!
//! ```text
//!   us                         peer
//!    |---- REFER (CSeq 7) ------>|     open(7)
//!    |<--- NOTIFY 100 -----------|     may outrun the 202
//!    |<--- 202 ------------------|     any 2xx is "I will try", not "done"
//!    |<--- NOTIFY 200, terminated|     closes the subscription
//! ```
//!
//! Each REFER opens one, named by its CSeq number; NOTIFYs name it as `Event: refer;id=7`, those of the
//! first REFER may leave the id out (RFC 3515 §2.4.6). What our user is told is always the progress of
//! its *last* REFER: a late NOTIFY of one that it has given up is answered and otherwise forgotten.

use std::time::{Duration, Instant};

use super::header::{Token, sipfrag_status};
use super::message::{Request, StatusCode};

/// REFERs of one dialog whose subscriptions are open at once. Over it, a new REFER is not sent.
pub const REFERS_MAX: usize = 4;
/// How long we wait for a NOTIFY that says nothing of when it expires, after the last sign of life.
const SUBSCRIPTION: Duration = Duration::from_secs(180);
/// The longest expiry of a peer that we believe.
const SUBSCRIPTION_MAX: Duration = Duration::from_secs(3600);

/// The open subscriptions of a dialog, oldest first.
#[derive(Debug, Default)]
pub struct Subscriptions {
    open: Vec<Subscription>,
    /// The number of the last REFER, open or not.
    last: u32,
}

#[derive(Debug)]
struct Subscription {
    number: u32,
    until: Instant,
}

/// What a NOTIFY says of the transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The status line that the peer got from the transfer's target, or 100.
    pub status: StatusCode,
    /// Its reason phrase.
    pub reason: String,
    /// Whether this was the last NOTIFY.
    pub terminated: bool,
}

impl Subscriptions {
    /// A REFER leaves: its subscription exists from now on, since a NOTIFY may outrun the 202.
    pub fn open(&mut self, now: Instant, number: u32) {
        self.open.push(Subscription { number, until: now + SUBSCRIPTION });
        self.last = number;
    }

    /// A REFER was refused, or nothing answered it.
    pub fn close(&mut self, number: u32) {
        self.open.retain(|subscription| subscription.number != number);
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Ends all of them.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// Lets none outlive that time.
    pub fn limit(&mut self, until: Instant) {
        self.open.iter_mut().for_each(|open| open.until = open.until.min(until));
    }

    /// Takes a NOTIFY. `Ok(None)`: it belongs to an older REFER than our user's last. The error is the
    /// status that refuses it.
    pub fn handle_notify(
        &mut self,
        now: Instant,
        notify: &Request,
    ) -> Result<Option<Progress>, StatusCode> {
        let bad_request = StatusCode::of(400);
        let token = |name| notify.headers.typed::<Token>(name).map_err(|_| bad_request);

        let event = token("Event")?.ok_or(bad_request)?;
        if !event.value.eq_ignore_ascii_case("refer") {
            return Err(StatusCode::of(489));
        }
        let index = self.find(&event).ok_or(StatusCode::of(481))?;
        let state = token("Subscription-State")?.ok_or(bad_request)?;
        let (status, reason) = notify
            .body
            .as_ref()
            .filter(|body| is_sipfrag(&body.content_type))
            .and_then(|body| sipfrag_status(&body.bytes))
            .ok_or(bad_request)?;

        let is_last = self.open[index].number == self.last;
        let terminated = state.value.eq_ignore_ascii_case("terminated");
        if terminated {
            self.open.remove(index);
        } else {
            self.open[index].until = now + expiry(&state);
        }
        Ok(is_last.then_some(Progress { status, reason, terminated }))
    }

    /// Forgets those whose peer has fallen silent.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.open.retain(|subscription| now < subscription.until);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.open.iter().map(|subscription| subscription.until).min()
    }

    fn find(&self, event: &Token) -> Option<usize> {
        match event.params.get("id") {
            None => (!self.open.is_empty()).then_some(0),
            Some(id) => {
                let number: u32 = id.parse().ok()?;
                self.open.iter().position(|subscription| subscription.number == number)
            }
        }
    }
}

fn is_sipfrag(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("message/sipfrag")
}

fn expiry(state: &Token) -> Duration {
    let seconds = state.params.get("expires").and_then(|value| value.parse().ok());
    seconds.map_or(SUBSCRIPTION, Duration::from_secs).min(SUBSCRIPTION_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::message::{Body, Method};
    use super::*;

    #[test]
    fn notifies_are_told_until_the_last_one() {
        let (now, mut subscriptions) = referred(&[7]);
        let trying = notify("refer", "active;expires=60", "SIP/2.0 100 Trying\r\n");
        let done = notify("refer;id=7", "terminated;reason=noresource", "SIP/2.0 200 OK");

        let told = subscriptions.handle_notify(now, &trying).unwrap().unwrap();
        assert_eq!((told.status.code(), told.terminated), (100, false));
        assert_eq!(subscriptions.poll_timeout(), Some(now + Duration::from_secs(60)));

        let told = subscriptions.handle_notify(now, &done).unwrap().unwrap();
        assert_eq!((told.status.code(), told.reason.as_str()), (200, "OK"));
        assert!(told.terminated && subscriptions.is_empty());
    }

    #[test]
    fn notify_that_fits_nothing_is_refused() {
        for (event, state, body, status) in [
            ("refer;id=8", "active", "SIP/2.0 100 Trying", 481),
            ("refer;id=x", "active", "SIP/2.0 100 Trying", 481),
            ("presence", "active", "SIP/2.0 100 Trying", 489),
            ("", "active", "SIP/2.0 100 Trying", 400),
            ("refer", "", "SIP/2.0 100 Trying", 400),
            ("refer", "active", "what?", 400),
            ("refer", "active", "", 400),
        ] {
            let (now, mut subscriptions) = referred(&[7]);
            let refused = subscriptions.handle_notify(now, &notify(event, state, body));
            assert_eq!(refused, Err(StatusCode::of(status)), "{event} {state} {body}");
            assert_eq!(subscriptions.len(), 1);
        }
    }

    #[test]
    fn late_notify_of_an_older_refer_is_not_taken_for_the_last_one() {
        let (now, mut subscriptions) = referred(&[7, 9]);
        let old = notify("refer;id=7", "terminated", "SIP/2.0 503 Service Unavailable");
        assert_eq!(subscriptions.handle_notify(now, &old), Ok(None));

        let new = notify("refer;id=9", "terminated", "SIP/2.0 200 OK");
        let told = subscriptions.handle_notify(now, &new).unwrap().unwrap();
        assert_eq!(told.status.code(), 200);
    }

    #[test]
    fn silent_peer_is_forgotten() {
        let (now, mut subscriptions) = referred(&[7]);
        let until = subscriptions.poll_timeout().unwrap();
        assert_eq!(until, now + SUBSCRIPTION);
        subscriptions.handle_timeout(until);
        assert!(subscriptions.is_empty());
    }

    #[test]
    fn expiry_is_believed_within_reason() {
        let (now, mut subscriptions) = referred(&[7]);
        let endless = notify("refer", "active;expires=4294967295", "SIP/2.0 100 Trying");
        subscriptions.handle_notify(now, &endless).unwrap();
        assert_eq!(subscriptions.poll_timeout(), Some(now + SUBSCRIPTION_MAX));
    }

    fn referred(numbers: &[u32]) -> (Instant, Subscriptions) {
        let now = Instant::now();
        let mut subscriptions = Subscriptions::default();
        numbers.iter().for_each(|&number| subscriptions.open(now, number));
        (now, subscriptions)
    }

    fn notify(event: &str, state: &str, body: &str) -> Request {
        let mut request = Request::new(Method::Notify, "sip:us@192.0.2.1".parse().unwrap());
        for (name, value) in [("Event", event), ("Subscription-State", state)] {
            if !value.is_empty() {
                request.headers.push(name, value);
            }
        }
        let content_type = "message/sipfrag;version=2.0".to_owned();
        request.body = Some(Body { content_type, bytes: body.as_bytes().into() });
        request
    }
}
