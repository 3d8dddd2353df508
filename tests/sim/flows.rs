//! `docs/flows.md`: the flows that a reader wants to see, drawn from the stories themselves, so that the
//! page is never older than the code. `UPDATE_LADDERS=1` writes it.

use std::fs;
use std::path::PathBuf;

use crate::ladder;
use crate::stories::{agent, bridge, refer};
use crate::world::Stage;
use crate::{Story, written_anew};

const HEAD: &str = "# Flows

Messages and sound of whole calls, in seconds since the world began. These are the ladders of stories in
`tests/sim/`, which are played on a network where a packet takes a millisecond; the test suite keeps this
page true to the code. Every ladder is in `tests/sim/ladders/`.
";

/// What is shown, in this order.
const FLOWS: [(&str, Story); 9] = [
    ("A caller talks with the agent and hangs up", agent::caller_hangs_up),
    ("The caller interrupts the agent", agent::caller_interrupts_the_agent),
    ("A REFER that is followed", refer::refer_is_followed),
    (
        "A REFER that is refused: we dial the human and join the two",
        refer::declined_refer_becomes_a_bridge,
    ),
    ("A REFER that fails after its 202", refer::refer_that_fails_later_becomes_a_bridge),
    (
        "No NOTIFY ever comes, and the caller is still there",
        refer::refer_without_notify_is_bridged_when_the_caller_is_there,
    ),
    (
        "The human declines; the caller is back with the agent and tries again",
        bridge::declined_caller_is_back_and_tries_again,
    ),
    (
        "The caller hangs up while the human's phone rings",
        bridge::phone_stops_ringing_when_the_caller_hangs_up,
    ),
    ("Hold and resume, while a human speaks", bridge::bridged_caller_holds_and_resumes),
];

#[test]
fn page_of_flows_is_as_the_stories_are() {
    let mut page = HEAD.to_owned();
    for (title, story) in FLOWS {
        let drawn = ladder::draw(&story(Stage::calm()));
        page.push_str(&format!("\n## {title}\n\n```text\n{drawn}```\n"));
    }
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "docs/flows.md"].iter().collect();
    if written_anew() {
        fs::write(path, page).expect("the page can be written");
        return;
    }
    ladder::same("docs/flows.md", &fs::read_to_string(path).unwrap_or_default(), &page);
}
