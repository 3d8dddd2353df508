//! Transfers as scripts of events against lists of effects.

use std::collections::BTreeMap;

use super::*;
use crate::sip::{Transport, Uri};
use Effect::{
    Abandon, CancelHuman, Dial, GiveBack, Join, Leave, Over, Probe, Progress, Refer, Try,
};

/// A human of that name, dialled where the URI says.
pub(in crate::call) fn target(name: &str) -> Target {
    let uri: Uri = format!("sip:{name}@192.0.2.1").parse().expect("a URI");
    Target {
        name: format!("human:{name}"),
        refer_to: uri.clone(),
        uri,
        next_hop: None,
        failover: vec![],
        try_time: Duration::from_secs(4),
        transport: Transport::Udp,
        headers: vec![],
    }
}

fn plan(methods: &[Method], targets: &[&str]) -> Arc<TransferPlan> {
    Arc::new(TransferPlan {
        name: "cold".into(),
        methods: methods.to_vec(),
        targets: targets.iter().map(|name| target(name)).collect(),
        ring_time: Duration::from_secs(20),
        refer_time: Duration::from_secs(30),
        hold: [1, -1].into(),
        say: BTreeMap::new(),
        say_default: "One moment.".into(),
    })
}

fn notify(code: u16) -> Event {
    Event::ReferProgress { status: StatusCode::of(code), reason: "as told".into() }
}

fn told(code: u16) -> Effect {
    Progress(StatusCode::of(code), "as told".into())
}

fn over(outcome: Outcome, code: u16, reason: &str) -> Effect {
    Over(outcome, Some(StatusCode::of(code)), Some(reason.into()))
}

fn accepted() -> Effect {
    Progress(StatusCode::of(202), "REFER accepted".into())
}

/// Starts a transfer, feeds each event at its second, and compares what it wants.
#[track_caller]
fn check(
    methods: &[Method],
    targets: &[&str],
    first: &[Effect],
    script: &[(u64, Event, Vec<Effect>)],
) -> Transfer {
    check_plan(plan(methods, targets), first, script)
}

/// The same for any plan; the caller is heard at first.
#[track_caller]
fn check_plan(
    plan: Arc<TransferPlan>,
    first: &[Effect],
    script: &[(u64, Event, Vec<Effect>)],
) -> Transfer {
    let start = Instant::now();
    let (mut transfer, effects) = Transfer::new(start, plan, 0, true);
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
            (1, notify(100), vec![told(100)]),
            (3, notify(180), vec![told(180)]),
            (9, notify(200), vec![over(Outcome::Connected, 200, "as told"), Leave(sarah)]),
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
            (0, notify(200), vec![over(Outcome::Connected, 200, "as told"), Leave(sarah)]),
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
                notify(503),
                vec![
                    over(Outcome::Unreachable, 503, "as told"),
                    Try(Method::Bridge, sarah.clone()),
                    Dial(0, sarah),
                ],
            ),
        ],
    );
}

/// Who is heard is here, and who is not and does not answer has left. Of one who is silent but answers
/// nobody knows: nobody is dialled who may be speaking with the caller, and the caller is not hung up on.
#[test]
fn without_a_last_notify_the_caller_is_looked_for_before_anybody_is_dialled() {
    use Liveness::{Alive, Gone, Unanswered};
    let sarah = target("sarah");
    let first = [Try(Method::Refer, sarah.clone()), Refer(sarah.clone())];
    let timed_out = |why: &str| Over(Outcome::ReferTimeout, None, Some(why.into()));
    let here = vec![
        timed_out("no final NOTIFY, the caller is still here"),
        Try(Method::Bridge, sarah.clone()),
        Dial(0, sarah),
    ];
    let left = vec![timed_out("no final NOTIFY, the caller has left"), Abandon];
    let who_knows = vec![
        timed_out("no final NOTIFY, and the caller is not heard"),
        GiveBack(Outcome::ReferTimeout),
    ];
    for (heard, found, expected) in [
        (true, Some(Alive), &here),
        (true, Some(Unanswered), &here),
        (true, None, &here),
        (true, Some(Gone), &left),
        (false, Some(Alive), &who_knows),
        (false, Some(Unanswered), &left),
        (false, None, &left),
        (false, Some(Gone), &left),
    ] {
        let last = match found {
            Some(found) => (31, Event::Probed(found), expected.clone()),
            None => (34, Event::Tick, expected.clone()),
        };
        check(
            &[Method::Refer, Method::Bridge],
            &["sarah"],
            &first,
            &[
                (0, Event::ReferAnswered(StatusCode::of(202)), vec![accepted()]),
                (9, Event::CallerHeard(heard), vec![]),
                (30, Event::Tick, vec![Probe]),
                last,
            ],
        );
    }
}

/// A peer that ends the subscription with its 100 may call the human all the same, and one that says 180
/// will say more: both have the time that is configured.
#[test]
fn human_is_not_dialled_while_the_caller_s_side_calls_them() {
    let sarah = target("sarah");
    check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &[Try(Method::Refer, sarah.clone()), Refer(sarah.clone())],
        &[
            (0, Event::ReferAnswered(StatusCode::of(202)), vec![accepted()]),
            (1, notify(100), vec![told(100)]),
            (25, notify(180), vec![told(180)]),
            (54, Event::Tick, vec![]),
            (54, notify(200), vec![over(Outcome::Connected, 200, "as told"), Leave(sarah)]),
        ],
    );
}

/// The human answered the caller's side when we had given that up: our own call to the human ends.
#[test]
fn success_that_comes_late_ends_the_second_call_to_the_human() {
    let sarah = target("sarah");
    let why = "no final NOTIFY, the caller is still here";
    check(
        &[Method::Refer, Method::Bridge],
        &["sarah"],
        &[Try(Method::Refer, sarah.clone()), Refer(sarah.clone())],
        &[
            (0, Event::ReferAnswered(StatusCode::of(202)), vec![accepted()]),
            (30, Event::Tick, vec![Probe]),
            (
                30,
                Event::Probed(Liveness::Alive),
                vec![
                    Over(Outcome::ReferTimeout, None, Some(why.into())),
                    Try(Method::Bridge, sarah.clone()),
                    Dial(0, sarah.clone()),
                ],
            ),
            (31, notify(180), vec![]),
            (
                32,
                notify(200),
                vec![
                    CancelHuman(0, 487, "the caller has been put through"),
                    over(Outcome::Connected, 200, "as told"),
                    Leave(sarah),
                ],
            ),
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

/// A mobile phone is often found only after some seconds; its network says 100 at once.
#[test]
fn next_hop_that_says_100_has_the_whole_ringing_time() {
    let sarah = target("sarah");
    let transfer = check(
        &[Method::Bridge],
        &["sarah"],
        &[Try(Method::Bridge, sarah.clone()), Dial(0, sarah)],
        &[
            (1, Event::Trying(0), vec![]),
            (6, Event::Tick, vec![]),
            (
                7,
                Event::Ringing(0, StatusCode::of(180), "Ringing".into()),
                vec![Progress(StatusCode::of(180), "Ringing".into())],
            ),
        ],
    );
    assert!(transfer.poll_timeout().is_some());
}

/// RFC 3263 §4.3: a peer that says nothing, or 503, is followed by the trunk's next one. Whatever else is
/// answered comes from the human.
#[test]
fn human_is_reached_by_the_trunk_s_next_peer() {
    let peer = |host: u8| Some((std::net::Ipv4Addr::new(192, 0, 2, host), 5060).into());
    let by = |host: u8, others: &[u8]| Target {
        next_hop: peer(host),
        failover: others.iter().filter_map(|host| peer(*host)).collect(),
        ..target("sarah")
    };
    let plan = TransferPlan {
        targets: vec![by(10, &[11, 12]), target("jan")],
        ..TransferPlan::clone(&plan(&[Method::Bridge], &[]))
    };
    check_plan(
        plan.into(),
        &[Try(Method::Bridge, by(10, &[11, 12])), Dial(0, by(10, &[11, 12]))],
        &[
            (
                4,
                Event::Tick,
                vec![
                    CancelHuman(0, 408, "no answer from the next hop"),
                    Over(Outcome::Unreachable, Some(StatusCode::of(408)), None),
                    Try(Method::Bridge, by(11, &[12])),
                    Dial(1, by(11, &[12])),
                ],
            ),
            (
                5,
                Event::Failed(1, StatusCode::of(503), "full".into()),
                vec![
                    over(Outcome::Unreachable, 503, "full"),
                    Try(Method::Bridge, by(12, &[])),
                    Dial(2, by(12, &[])),
                ],
            ),
            (
                6,
                Event::Failed(2, StatusCode::of(404), "no such user".into()),
                vec![
                    over(Outcome::Unreachable, 404, "no such user"),
                    Try(Method::Bridge, target("jan")),
                    Dial(3, target("jan")),
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

/// A cable that was cut while the human's phone rings.
#[test]
fn phone_stops_ringing_for_a_caller_who_neither_sounds_nor_answers() {
    let sarah = target("sarah");
    let first = [Try(Method::Bridge, sarah.clone()), Dial(0, sarah.clone())];
    check(
        &[Method::Bridge],
        &["sarah"],
        &first,
        &[
            (2, Event::CallerHeard(false), vec![]),
            (3, Event::Probed(Liveness::Alive), vec![]),
            (
                9,
                Event::Probed(Liveness::Unanswered),
                vec![
                    CancelHuman(0, 487, "the caller has vanished"),
                    Over(Outcome::CallerAbandoned, None, Some("the caller has vanished".into())),
                    Abandon,
                ],
            ),
        ],
    );
    // An OPTIONS that something on the path has eaten says nothing about a caller who is heard.
    check(
        &[Method::Bridge],
        &["sarah"],
        &first,
        &[
            (2, Event::CallerHeard(false), vec![]),
            (3, Event::CallerHeard(true), vec![]),
            (9, Event::Probed(Liveness::Unanswered), vec![]),
            (
                10,
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
