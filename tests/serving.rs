//! The built program between its operator and its callers: what it says of itself at the start, whom it
//! believes, whom it refuses, and how it ends.

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use common::peer::{Message, Peer, Request};
use common::plan::{Agent, Plan};
use common::server::{Own, Server};
use common::{LOOPBACK, free_port, wait_for};

/// An address that the trunk's network does not have.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// How long something may take that happens at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One agent, who answers at once.
fn plan() -> Plan {
    let agent = Agent {
        name: "desk".to_owned(),
        ring_ms: 0,
        method: &["bridge"],
        ring_secs: 5,
        human_port: free_port(),
    };
    Plan { store: "memory:", network: "127.0.0.1/32", agents: vec![agent] }
}

/// A proxy of the environment would carry what callers say off this machine, and could not reach a
/// model's server on it.
#[test]
fn a_model_on_this_machine_is_not_asked_through_a_proxy() {
    let [model, proxy] = [(); 2].map(|()| {
        let listener = TcpListener::bind((LOOPBACK, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        listener
    });
    let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("bound"));
    let engine = format!("engine = \"openai\"\nurl = \"{}/v1\"", url(&model));
    let proxy_url = url(&proxy);
    let _server = Server::start_with(
        &plan(),
        &Own {
            configuration: &[("engine = \"none\"", &engine)],
            environment: &[
                ("http_proxy", &proxy_url),
                ("HTTP_PROXY", &proxy_url),
                ("NO_PROXY", ""),
            ],
        },
    );

    let asked = wait_for(PATIENCE, || model.accept().ok());
    assert!(asked.is_some(), "the model's server is not asked");
    let through = proxy.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(through, Err(ErrorKind::WouldBlock), "the proxy is asked");
}

/// A call to our own outer address comes from that address, which a trunk of loopback does not have.
#[test]
fn what_is_printed_to_dial_can_be_dialled() {
    for (network, dialled, hint) in [
        ("127.0.0.0/8", "sip:desk@127.0.0.1:", true),
        ("192.0.2.0/24", "sip:desk@192.0.2.7:", false),
    ] {
        let configuration: &[(&str, &str)] = &[
            ("udp:127.0.0.1:", "udp:0.0.0.0:"),
            ("tcp:127.0.0.1:", "tcp:0.0.0.0:"),
            ("[sip]", "[sip]\nexternal_ip = \"192.0.2.7\""),
        ];
        let server = Server::start_with(
            &Plan { network, ..plan() },
            &Own { configuration, ..Own::default() },
        );
        server.wait_for_log("  desk   http://");
        let log = server.log();
        let dial: Vec<&str> = log.lines().filter(|line| line.starts_with("  dial ")).collect();
        assert_eq!(dial.len(), 2, "{log}");
        assert!(dial.iter().all(|line| line.contains(dialled)), "{dial:?}");
        let told =
            "from this machine only: [trunk.local] networks lets others in (dialplans/*.toml)";
        assert_eq!(log.contains(told), hint, "{network}");
    }
}

/// What is lost on the way is sent again (RFC 3261 §17.1.2), also by a program that is ending.
#[test]
fn a_goodbye_that_is_lost_is_said_again() {
    let mut server = Server::start(&plan());
    let (peer, ..) = call(&server, "goodbye");
    server.signal("TERM");
    server.wait_for_log("draining");
    server.signal("TERM");

    let first = peer.receive();
    let again = peer.receive();
    for bye in [&first, &again] {
        assert!(bye.header("CSeq").is_some_and(|cseq| cseq.ends_with(" BYE")), "no BYE");
        assert_eq!(bye.header("Via"), first.header("Via"));
    }
    assert!(server.is_alive(), "nobody is left to hear the answer");
    peer.send(again.ok().as_bytes());
    server.wait_until_ended(PATIENCE);
    assert_eq!(server.complaints(), [""; 0]);
}

/// A peer of the trunk may speak for a dialog (an SBC cluster), also one that has come with the dialplan while
/// the call was up; and one that has gone with it may not.
#[test]
fn peers_of_the_dialplan_that_is_read_again_speak_for_calls() {
    let server = Server::start(&plan());
    let (peer, invite, answer) = call(&server, "cluster");
    let [second, third] =
        [STRANGER, Ipv4Addr::new(127, 0, 0, 3)].map(|ip| Peer::new(ip, server.sip));
    let mut seq = 1;
    let mut status = |by: &Peer| {
        seq += 1;
        let options = invite.inside("OPTIONS", &answer, seq);
        by.request(&options);
        by.answer(&options).status()
    };

    assert_eq!(status(&second), Some(403));
    reload(&server, "[trunk.local]\npeers = [\"127.0.0.2:5060\", \"127.0.0.3:5060\"]");
    assert_eq!(status(&second), Some(200));
    reload(&server, "[trunk.local]");
    assert_eq!(status(&third), Some(403));
    assert_eq!(status(&peer), Some(200));
}

/// Has the dialplan read again, with this in the place of the trunk's head.
fn reload(server: &Server, trunk: &str) {
    let dialplan = plan().dialplan().replace("[trunk.local]", trunk);
    server.write("dialplans/test.toml", &dialplan);
    let times = || server.log().matches("the dialplan has been read again").count();
    let before = times();
    server.signal("HUP");
    let again = wait_for(PATIENCE, || (times() > before).then_some(()));
    assert!(again.is_some(), "the dialplan is not read again");
}

/// Whoever tries numbers by the thousand gets 404, and does not use up the pace of those who may call.
#[test]
fn strangers_do_not_spend_the_pace_of_callers() {
    let configuration = &[("cps_max = 200", "cps_max = 1")];
    let server = Server::start_with(&plan(), &Own { configuration, ..Own::default() });
    let stranger = Peer::new(STRANGER, server.sip);
    for n in 0..20 {
        let invite = Request::new("INVITE", "desk", &format!("stranger-{n}")).offering(4000);
        assert_eq!(refusal(&stranger, &invite), 404);
    }
    let (peer, invite, _) = call(&server, "the-one-of-this-second");
    let again = Request { branch: "other-way".to_owned(), from_tag: "other", ..invite.clone() };
    assert_eq!(refusal(&peer, &again), 482);

    let log = server.log();
    let of_strangers = |line: &&str| line.contains("refused a stranger");
    assert_eq!(log.lines().filter(of_strangers).count(), 20);
    assert!(log.lines().filter(of_strangers).all(|line| line.contains("DEBUG")), "{log}");
    assert!(
        log.lines().any(|line| line.contains(" INFO ") && line.contains("status=482")),
        "{log}"
    );
}

/// The status with which an INVITE is refused.
#[track_caller]
fn refusal(peer: &Peer, invite: &Request) -> u16 {
    peer.request(invite);
    let failure = peer.answer(invite);
    peer.acknowledge_failure(invite, &failure);
    failure.status().expect("a response")
}

/// A call that is up: the caller, its INVITE and the 200.
fn call(server: &Server, call_id: &str) -> (Peer, Request, Message) {
    let peer = Peer::new(LOOPBACK, server.sip);
    // Nothing listens for sound at this port.
    let invite = Request::new("INVITE", "desk", call_id).offering(free_port());
    peer.request(&invite);
    let answer = peer.answer(&invite);
    assert_eq!(answer.status(), Some(200));
    peer.request(&invite.inside("ACK", &answer, 1));
    (peer, invite, answer)
}
