//! Transfers as scripts of events against lists of effects.

use std::collections::BTreeMap;

use super::*;
use crate::sip::{Transport, Uri};
use Effect::{
    Abandon, CancelHuman, Dial, GiveBack, Join, Leave, Over, Probe, Progress, Refer, Try,
};

fn target(name: &str) -> Target {
    let uri: Uri = format!("sip:{name}@192.0.2.1").parse().expect("a URI");
    let (name, headers) = (format!("human:{name}"), vec![]);
    Target { name, refer_to: uri.clone(), uri, next_hop: None, transport: Transport::Udp, headers }
}

fn plan(methods: &[Method], targets: &[&str]) -> Arc<TransferPlan> {
    Arc::new(TransferPlan {
        name: "cold".into(),
        methods: methods.to_vec(),
        targets: targets.iter().map(|name| target(name)).collect(),
        ring_time: Duration::from_secs(20),
        try_time: Duration::from_secs(4),
        refer_time: Duration::from_secs(30),
        hold: [1, -1].into(),
        say: BTreeMap::new(),
        say_default: "One moment.".into(),
    })
}

fn notify(code: u16, terminated: bool) -> Event {
    Event::ReferProgress { status: StatusCode::of(code), reason: "as told".into(), terminated }
}

fn told(code: u16) -> Effect {
    Progress(StatusCode::of(code), "as told".into())
}

fn over(outcome: Outcome, code: u16, reason: &str) -> Effect {
    Over(outcome, Some(StatusCode::of(code)), Some(reason.into()))
}

/// Starts a transfer, feeds each event at its second, and compares what it wants.
#[track_caller]
fn check(
    methods: &[Method],
    targets: &[&str],
    first: &[Effect],
    script: &[(u64, Event, Vec<Effect>)],
) -> Transfer {
    let start = Instant::now();
    let (mut transfer, effects) = Transfer::new(start, plan(methods, targets), 0);
    assert_eq!(effects, first);
    for (second, event, expected) in script {
        let effects = transfer.on(start + Duration::from_secs(*second), event.clone());
        assert_eq!(&effects, expected, "at {second} s, {event:?}");
    }
    transfer
}

/// A REFER that was followed to the end.
#[test]
fn caller_is_let_go_only_when_the_last_notify_says_success() {
    let sarah = target("sarah");
    let transfer = check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &[Try(Method::Refer, sarah.clone()), Refer(sarah.clone())],
        &[
            (
                0,
                Event::ReferAnswered(StatusCode::of(202)),
                vec![Progress(StatusCode::of(202), "REFER accepted".into())],
            ),
            (1, notify(100, false), vec![told(100)]),
            (3, notify(180, false), vec![told(180)]),
            (9, notify(200, true), vec![over(Outcome::Connected, 200, "as told"), Leave(sarah)]),
            (10, Event::CallerGone, vec![]),
        ],
    );
    assert_eq!(transfer.poll_timeout(), None);
}

/// The NOTIFY may outrun the 202 (RFC 6665 §4.4.1).
#[test]
fn notify_before_the_202_counts() {
    let sarah = target("sarah");
    check(
        &[Method::Refer],
        &["sarah"],
        &[Try(Method::Refer, sarah.clone()), Refer(sarah.clone())],
        &[
            (0, notify(200, true), vec![over(Outcome::Connected, 200, "as told"), Leave(sarah)]),
            (1, Event::ReferAnswered(StatusCode::of(202)), vec![]),
        ],
    );
}

#[test]
fn refused_refer_becomes_a_bridge() {
    for code in [405, 603] {
        let sarah = target("sarah");
        check(
            &[Method::Refer, Method::Bridge],
            &["sarah"],
            &[Try(Method::Refer, sarah.clone()), Refer(sarah.clone())],
            &[
                (
                    0,
                    Event::ReferAnswered(StatusCode::of(code)),
                    vec![
                        Over(Outcome::ReferRejected, Some(StatusCode::of(code)), None),
                        Try(Method::Bridge, sarah.clone()),
                        Dial(0, sarah.clone()),
                    ],
                ),
                (
                    5,
                    Event::Answered(0),
                    vec![Over(Outcome::Connected, Some(StatusCode::of(200)), None), Join(sarah)],
                ),
            ],
        );
    }
}

#[test]
fn failure_after_the_202_becomes_a_bridge() {
    let sarah = target("sarah");
    check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &[Try(Method::Refer, sarah.clone()), Refer(sarah.clone())],
        &[
            (
                0,
                Event::ReferAnswered(StatusCode::of(202)),
                vec![Progress(StatusCode::of(202), "REFER accepted".into())],
            ),
            (
                2,
                notify(503, true),
                vec![
                    over(Outcome::Unreachable, 503, "as told"),
                    Try(Method::Bridge, sarah.clone()),
                    Dial(0, sarah),
                ],
            ),
        ],
    );
}

#[test]
fn without_a_last_notify_the_caller_is_looked_for_before_anybody_is_dialled() {
    let sarah = target("sarah");
    let first = [Try(Method::Refer, sarah.clone()), Refer(sarah.clone())];
    let accepted = (
        0,
        Event::ReferAnswered(StatusCode::of(202)),
        vec![Progress(StatusCode::of(202), "REFER accepted".into())],
    );
    let late = (30, Event::Tick, vec![Probe]);

    // Alive and talking: the human is dialled.
    let here = "no final NOTIFY, the caller is still here";
    check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &first,
        &[
            accepted.clone(),
            late.clone(),
            (
                30,
                Event::Probed { alive: true },
                vec![
                    Over(Outcome::ReferTimeout, None, Some(here.into())),
                    Try(Method::Bridge, sarah.clone()),
                    Dial(0, sarah),
                ],
            ),
        ],
    );
    // The dialog is dead, or alive without the caller's voice: nobody is dialled twice.
    let left = || {
        vec![
            Over(Outcome::ReferTimeout, None, Some("no final NOTIFY, the caller has left".into())),
            Abandon,
        ]
    };
    check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &first,
        &[accepted.clone(), late.clone(), (31, Event::Probed { alive: false }, left())],
    );
    check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &first,
        &[
            accepted,
            (9, Event::CallerFlows(false), vec![]),
            late,
            (31, Event::Probed { alive: true }, left()),
        ],
    );
}

/// Many peers send BYE instead of the last NOTIFY.
#[test]
fn bye_after_an_accepted_refer_means_that_the_caller_was_taken() {
    let sarah = target("sarah");
    let reason = "the caller's side ended the dialog after it accepted the REFER";
    check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &[Try(Method::Refer, sarah.clone()), Refer(sarah)],
        &[
            (
                0,
                Event::ReferAnswered(StatusCode::of(202)),
                vec![Progress(StatusCode::of(202), "REFER accepted".into())],
            ),
            (1, Event::CallerGone, vec![over(Outcome::Connected, 202, reason), Abandon]),
        ],
    );
}

#[test]
fn every_human_is_tried_before_the_caller_goes_back() {
    let (sarah, jan) = (target("sarah"), target("jan"));
    check(
        &[Method::Bridge],
        &["sarah", "jan"],
        &[Try(Method::Bridge, sarah.clone()), Dial(0, sarah)],
        &[
            (
                1,
                Event::Ringing(0, StatusCode::of(180), "Ringing".into()),
                vec![Progress(StatusCode::of(180), "Ringing".into())],
            ),
            (
                4,
                Event::Failed(0, StatusCode::of(486), "Busy Here".into()),
                vec![
                    over(Outcome::Busy, 486, "Busy Here"),
                    Try(Method::Bridge, jan.clone()),
                    Dial(1, jan),
                ],
            ),
            // Late, from the first human's leg: nobody's business any more.
            (5, Event::Answered(0), vec![]),
            (
                6,
                Event::Ringing(1, StatusCode::of(180), "Ringing".into()),
                vec![Progress(StatusCode::of(180), "Ringing".into())],
            ),
            (
                24,
                Event::Tick,
                vec![
                    CancelHuman(1, 408, "no answer"),
                    Over(Outcome::NoAnswer, None, None),
                    GiveBack(Outcome::NoAnswer),
                ],
            ),
        ],
    );
}

/// Timer B is longer than any caller's patience.
#[test]
fn next_hop_that_says_nothing_is_given_up_early() {
    let sarah = target("sarah");
    check(
        &[Method::Bridge],
        &["sarah"],
        &[Try(Method::Bridge, sarah.clone()), Dial(0, sarah)],
        &[
            (3, Event::Tick, vec![]),
            (
                4,
                Event::Tick,
                vec![
                    CancelHuman(0, 408, "no answer from the next hop"),
                    Over(Outcome::Unreachable, Some(StatusCode::of(408)), None),
                    GiveBack(Outcome::Unreachable),
                ],
            ),
        ],
    );
}

#[test]
fn phone_stops_ringing_when_the_caller_hangs_up() {
    let sarah = target("sarah");
    check(
        &[Method::Bridge],
        &["sarah"],
        &[Try(Method::Bridge, sarah.clone()), Dial(0, sarah)],
        &[(
            2,
            Event::CallerGone,
            vec![
                CancelHuman(0, 487, "the caller hung up"),
                Over(Outcome::CallerAbandoned, None, Some("the caller hung up".into())),
                Abandon,
            ],
        )],
    );
}

/// A cable that was cut while the human's phone rings: the dialog says whether anybody is left.
#[test]
fn caller_whose_sound_stops_while_the_phone_rings_is_looked_for() {
    let sarah = target("sarah");
    check(
        &[Method::Bridge],
        &["sarah"],
        &[Try(Method::Bridge, sarah.clone()), Dial(0, sarah.clone())],
        &[
            (2, Event::CallerFlows(false), vec![Probe]),
            (2, Event::Probed { alive: true }, vec![]),
            (3, Event::CallerFlows(true), vec![]),
            (
                4,
                Event::Answered(0),
                vec![Over(Outcome::Connected, Some(StatusCode::of(200)), None), Join(sarah)],
            ),
        ],
    );
}

#[test]
fn plan_without_a_way_gives_the_caller_back_at_once() {
    let transfer = check(&[], &["sarah"], &[GiveBack(Outcome::Unreachable)], &[]);
    assert_eq!(transfer.poll_timeout(), None);
    check(&[Method::Refer], &[], &[GiveBack(Outcome::Unreachable)], &[]);
}
