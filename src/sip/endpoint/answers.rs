//! A response comes, or none does: who sent the request is told (RFC 3261 §8.1.3, §12.2.1.2, §17.1.3).

use std::time::{Duration, Instant};

use super::compose::failure_ack;
use super::table::{ClientKey, Purpose};
use super::types::{Event, Liveness};
use super::usage::{Over, Reinvite, State, Usage};
use super::{Endpoint, Sending};
use crate::ids::DialogId;
use crate::sip::message::{Headers, Response, StatusCode};
use crate::sip::transaction::Machine;

/// Nobody answered: what RFC 3261 §8.1.3.1 has us act on.
const TIMED_OUT: StatusCode = StatusCode::of(408);
/// Nobody could be reached.
const UNREACHABLE: StatusCode = StatusCode::of(503);

/// What became of a request of ours within a dialog.
enum Outcome {
    Answered(Response),
    NoAnswer(StatusCode),
}

impl Endpoint {
    pub(super) fn handle_response(&mut self, now: Instant, response: Response) {
        let Some(key) = self.key_of(&response) else {
            self.counters.dropped += 1;
            return;
        };
        let Some(transaction) = self.clients.get_mut(key) else {
            self.counters.dropped += 1;
            return;
        };
        let (purpose, dialog) = (transaction.purpose, transaction.dialog);
        let invite = transaction.invite.clone();
        let is_told = match &mut transaction.machine {
            Machine::InviteClient(machine) => {
                let ack =
                    || invite.map_or(Vec::new().into(), |invite| failure_ack(&invite, &response));
                machine.handle_response(now, response.status, ack)
            }
            Machine::NonInviteClient(machine) => machine.handle_response(now, response.status),
            Machine::InviteServer(_) | Machine::NonInviteServer(_) => false,
        };
        // A late 1xx is no repetition: the network has its own order.
        if !is_told && !response.status.is_provisional() {
            self.counters.retransmissions_received += 1;
        }
        self.settle_client(key, if is_told { Sending::New } else { Sending::Repeat });
        if !is_told {
            return;
        }
        match purpose {
            Purpose::Invite => self.handle_invite_response(now, key, dialog, response),
            Purpose::Reinvite if response.status.is_success() => {
                self.handle_reinvite_success(key, dialog, response);
            }
            // A 1xx within a dialog changes nothing.
            _ if response.status.is_provisional() => (),
            _ => self.finish(now, key, purpose, dialog, Outcome::Answered(response)),
        }
    }

    /// Timers of a client transaction.
    pub(super) fn handle_client_timeout(&mut self, now: Instant, key: ClientKey) {
        let Some(transaction) = self.clients.get_mut(key) else { return };
        transaction.armed = None;
        let (purpose, dialog) = (transaction.purpose, transaction.dialog);
        let gave_up = transaction.machine.handle_timeout(now);
        self.settle_client(key, Sending::Repeat);
        if gave_up {
            self.finish(now, key, purpose, dialog, Outcome::NoAnswer(TIMED_OUT));
        }
    }

    /// The request of a client transaction could not be delivered.
    pub(super) fn handle_client_error(&mut self, now: Instant, key: ClientKey) {
        let Some(transaction) = self.clients.get_mut(key) else { return };
        let (purpose, dialog) = (transaction.purpose, transaction.dialog);
        let is_told = match &mut transaction.machine {
            Machine::InviteClient(machine) => machine.handle_transport_error(),
            Machine::NonInviteClient(machine) => machine.handle_transport_error(),
            Machine::InviteServer(_) | Machine::NonInviteServer(_) => false,
        };
        self.settle_client(key, Sending::New);
        if is_told {
            self.finish(now, key, purpose, dialog, Outcome::NoAnswer(UNREACHABLE));
        }
    }

    /// The transaction that a response answers.
    fn key_of(&self, response: &Response) -> Option<ClientKey> {
        let method = response.headers.cseq()?.method;
        let key = ClientKey::of_response(&response.headers.via()?, &method)?;
        (self.clients.get(key)?.method == method).then_some(key)
    }

    /// A request of ours has its final response, or will never have one.
    fn finish(
        &mut self,
        now: Instant,
        key: ClientKey,
        purpose: Purpose,
        id: DialogId,
        outcome: Outcome,
    ) {
        let status = outcome.status();
        match purpose {
            Purpose::Invite => {
                self.invite_failed(id, status, status.reason().to_owned(), Headers::default())
            }
            Purpose::Nothing => (),
            Purpose::Bye => {
                self.step(id, |_, usage| usage.forget_transaction(key));
            }
            Purpose::Reinvite => {
                self.step(id, |endpoint, usage| {
                    endpoint.handle_reinvite_failure(now, id, usage, key, &outcome);
                });
            }
            Purpose::Refer(number) => {
                self.step(id, |endpoint, usage| {
                    if !status.is_success() {
                        usage.subscriptions.close(number);
                    }
                    if usage.established().is_some() {
                        endpoint.events.push_back(Event::ReferAnswered { dialog: id, status });
                    }
                    // A REFER that nobody answers does not end the call (RFC 5057 §5.1 lets the
                    // refusal of a method stand alone): whether the peer lives is for a probe to say.
                    if outcome.is_no_dialog() {
                        endpoint.die(now, id, usage, status);
                    }
                });
            }
            Purpose::Probe => {
                self.step(id, |endpoint, usage| {
                    let Some(established) = usage.established() else { return };
                    established.probing = false;
                    let found = outcome.liveness();
                    endpoint.events.push_back(Event::Probed { dialog: id, found });
                    if found == Liveness::Gone {
                        endpoint.die(now, id, usage, status);
                    }
                });
            }
        }
    }

    fn handle_reinvite_success(&mut self, key: ClientKey, id: DialogId, response: Response) {
        if let Some(sent) = self.clients.get(key).and_then(|transaction| transaction.acks.first()) {
            let (to, packet) = (sent.to, sent.packet.clone());
            self.counters.retransmissions_received += 1;
            return self.send_packet(to, packet, Sending::Repeat);
        }
        let invite = self.clients.get(key).and_then(|transaction| transaction.invite.clone());
        let seq = invite.and_then(|invite| invite.headers.cseq()).map_or(0, |cseq| cseq.number);
        self.step(id, |endpoint, usage| {
            if let Some(dialog) = usage.dialog_mut() {
                dialog.refresh_target(response.headers.contact());
                endpoint.acknowledge_success(key, dialog, seq);
            }
            usage.forget_transaction(key);
            if usage.established().is_some() {
                let body = response.body;
                endpoint.events.push_back(Event::ReinviteAnswered { dialog: id, body });
            }
        });
    }

    /// RFC 3261 §14.1: on 491 the re-INVITE leaves again after a random time, on 481 and 408 the dialog
    /// ends, and on anything else all stays as it was.
    fn handle_reinvite_failure(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        key: ClientKey,
        outcome: &Outcome,
    ) {
        let until = now + self.backoff(usage.is_incoming);
        let Some(established) = usage.established() else {
            return usage.forget_transaction(key);
        };
        let is_answered = |reinvite: &mut Reinvite| reinvite.is_sent_as(key);
        let Some(Reinvite::Sent { body, .. }) = established.reinvite.take_if(is_answered) else {
            return;
        };
        let status = outcome.status();
        if status == StatusCode::of(491) {
            established.reinvite = Some(Reinvite::Backoff { until, body });
        } else if outcome.is_death() {
            self.die(now, id, usage, status);
        } else {
            self.events.push_back(Event::ReinviteRefused { dialog: id, status });
        }
    }

    /// How long to wait after a collision, in steps of 10 ms: who owns the Call-ID waits longer, so
    /// that they do not collide again (RFC 3261 §14.1).
    pub(super) fn backoff(&mut self, is_incoming: bool) -> Duration {
        let steps = if is_incoming { self.draw(1..=200) } else { self.draw(210..=400) };
        Duration::from_millis(u64::from(steps) * 10)
    }

    /// The peer does not know the dialog, or has not answered (RFC 3261 §12.2.1.2).
    pub(super) fn die(
        &mut self,
        now: Instant,
        id: DialogId,
        usage: &mut Usage,
        status: StatusCode,
    ) {
        if usage.established().is_none() {
            return;
        }
        self.say_bye(now, id, usage, None);
        let reason = Some(format!("SIP;cause={status};text=\"{}\"", status.reason()));
        self.events.push_back(Event::Ended { dialog: id, reason });
    }
}

impl Outcome {
    fn status(&self) -> StatusCode {
        match self {
            Outcome::Answered(response) => response.status,
            Outcome::NoAnswer(status) => *status,
        }
    }

    /// The peer says that there is no such dialog.
    fn is_no_dialog(&self) -> bool {
        matches!(self, Outcome::Answered(response) if response.status == StatusCode::of(481))
    }

    /// What an OPTIONS found out. A 408 may come from a proxy that got no answer itself.
    fn liveness(&self) -> Liveness {
        match self {
            Outcome::NoAnswer(_) => Liveness::Unanswered,
            Outcome::Answered(_) if self.is_no_dialog() => Liveness::Gone,
            Outcome::Answered(response) if response.status == TIMED_OUT => Liveness::Unanswered,
            Outcome::Answered(_) => Liveness::Alive,
        }
    }

    /// After this the dialog is of no use (RFC 3261 §12.2.1.2).
    fn is_death(&self) -> bool {
        [TIMED_OUT, StatusCode::of(481)].contains(&self.status())
    }
}

impl Usage {
    /// A BYE or a re-INVITE is finished.
    fn forget_transaction(&mut self, key: ClientKey) {
        match &mut self.state {
            State::Over(Over { bye, reinvite, .. }) => {
                bye.take_if(|bye| *bye == key);
                reinvite.take_if(|reinvite| *reinvite == key);
            }
            State::Established(established) => {
                established.reinvite.take_if(|reinvite| reinvite.is_sent_as(key));
            }
            State::Inviting(_) | State::Invited(_) | State::Gone => (),
        }
    }
}
