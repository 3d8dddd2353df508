//! What the commands make of `tandem.toml`: who needs which part of it, and what is wrong with it.

use std::fs;

use crate::{RIGHT, folder, tandem};

/// A server on loopback that has nothing of its own outside its folder.
const SERVES: &str = r#"[sip]
listen = ["udp:127.0.0.1:0"]

[speech]
recognizer = "scripted"
synthesizer = "scripted"
activity = "energy"

[llm]
engine = "none"

[store]
url = "memory:"

[desk]
listen = "127.0.0.1:0"

[dialplans]
folder = "dialplans"
"#;

/// A second server on the same file would end the calls of the first.
#[cfg(feature = "sqlite")]
#[test]
fn a_store_that_another_process_serves_with_is_told_in_one_line() {
    let folder = folder(RIGHT);
    let config = SERVES.replace("memory:", "sqlite:tandem.db");
    fs::write(folder.path().join("tandem.toml"), config).expect("written");
    let lock = fs::File::create(folder.path().join("tandem.db.lock")).expect("made");
    lock.lock().expect("nobody else has it");

    let ended = tandem(folder.path(), &["run"]);
    let told = "error: the store `tandem.db` is taken: another process serves with it\n";
    assert_eq!((ended.err.as_str(), ended.status), (told, 1));
}

#[test]
fn links_that_lead_others_nowhere_are_warned_of() {
    let calling = "method = [\"refer\", \"bridge\"]\nheaders = [\"Call-Info\"]";
    let folder = folder(&RIGHT.replace("method = [\"refer\", \"bridge\"]", calling));
    let desk = |keys: &str| {
        let text = format!("[dialplans]\nfolder = \"dialplans\"\n[desk]\n{keys}");
        fs::write(folder.path().join("tandem.toml"), text).expect("written");
        let ended = tandem(folder.path(), &["check"]);
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.err
    };
    let webhook = "webhook = { url = \"https://crm.example.com/pop\" }\n";
    assert_eq!(
        desk(webhook),
        "warning: desk.listen: is for this machine alone, and `webhook` gives links to it to others: \
         `url` says what others reach the desk under (tandem.toml)\n\
         warning: desk.listen: is for this machine alone, so transfer `cold` sends no Call-Info: \
         `url` says what others reach the desk under (tandem.toml)\n"
    );
    assert_eq!(desk(&format!("{webhook}url = \"https://desk.example.com\"\n")), "");
}

/// Whoever looks a call up, or asks the dialplan, has no key to the CRM.
#[test]
fn only_the_service_needs_its_secrets() {
    let folder = folder(RIGHT);
    let desk = "listen = \"127.0.0.1:0\"\nwebhook = \
                { url = \"http://127.0.0.1:9/\", key = \"${env:TANDEM_TEST_UNSET}\" }";
    let config = SERVES.replace("listen = \"127.0.0.1:0\"", desk);
    fs::write(folder.path().join("tandem.toml"), config).expect("written");
    let told = "desk.webhook.key: the environment has no TANDEM_TEST_UNSET (tandem.toml:17:48)\n";
    for (arguments, err, status) in [
        (&["run"][..], format!("error: {told}error: the configuration has mistakes\n"), 1),
        (&["check"], format!("warning: {told}"), 0),
        (&["route", "sip:100@us", "--source", "10.0.0.7"], String::new(), 0),
    ] {
        let ended = tandem(folder.path(), arguments);
        assert_eq!((ended.err, ended.status), (err, status), "{arguments:?}");
    }

    // The same for a desk that is open to others and has no token.
    let config = SERVES.replace("127.0.0.1:0\"\n\n[dialplans]", "0.0.0.0:0\"\n\n[dialplans]");
    fs::write(folder.path().join("tandem.toml"), config).expect("written");
    for (arguments, told, status) in [
        (&["run"][..], true, 1),
        (&["check"], true, 1),
        (&["route", "sip:100@us", "--source", "10.0.0.7"], false, 0),
        (&["context", "nobody"], false, 1),
    ] {
        let ended = tandem(folder.path(), arguments);
        let open = "error: desk.listen: is open to others, so `token` must be set";
        assert_eq!((ended.err.starts_with(open), ended.status), (told, status), "{ended:?}");
    }
}
