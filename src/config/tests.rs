//! The configuration file: its defaults and its mistakes.

use super::*;
use crate::dialplan;
use crate::files::Mistake;

/// Reads `text` as `tandem.toml`, and returns its values and its mistakes.
fn read(text: &str, environment: Environment<'_>) -> (Config, Vec<String>) {
    let report = Report::default();
    let source = Source::new("tandem.toml", text);
    let config = Config::read(&source, Purpose::Serve, environment, &report);
    let mistakes = report.into_mistakes().iter().map(Mistake::to_string).collect();
    (config.unwrap_or_default(), mistakes)
}

fn nothing(_: &str) -> Option<String> {
    None
}

/// Reads a file with mistakes and compares all that is told of them.
#[track_caller]
fn check(text: &str, told: &[&str]) {
    let (_, mistakes) = read(text, &nothing);
    assert_eq!(mistakes, told, "{text}");
}

/// The file that documents every key says what happens without it.
#[test]
fn the_file_of_the_project_has_the_defaults() {
    let (documented, mistakes) = read(include_str!("../../tandem.toml"), &nothing);
    assert_eq!(mistakes, [""; 0]);
    let dialplans = Some("dialplans".into());
    assert_eq!(documented, Config { dialplans, ..Config::default() });
}

#[test]
fn an_empty_file_has_the_defaults() {
    assert_eq!(read("", &nothing), (Config::default(), vec![]));
}

#[test]
fn keys_without_a_default_are_documented_as_they_are_written() {
    let uncommented: Vec<String> = include_str!("../../tandem.toml")
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key)
                if key.split_once(" = ").is_some_and(|(key, _)| !key.trim().contains(' ')) =>
            {
                key.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    let text = uncommented.join("\n");
    assert!(
        ["\nwebhook ", "\nscript ", "\nurl       = \"https"].iter().all(|key| text.contains(key))
    );

    let (config, mistakes) = read(&text, &|name| Some(format!("value of {name}")));
    let unknown = mistakes.iter().filter(|mistake| !mistake.contains("is not read"));
    assert_eq!(unknown.collect::<Vec<_>>(), [""; 0]);
    let desk = config.desk;
    assert_eq!(desk.url.as_deref(), Some("https://desk.example.com"));
    assert_eq!(desk.token, Some(Secret::new("value of TANDEM_DESK_TOKEN")));
    assert_eq!(desk.webhook.and_then(|hook| hook.key), Some(Secret::new("value of POP_KEY")));
}

#[test]
fn every_mistake_has_its_place() {
    check(
        "[sip]\nlisten = [\"tls:0.0.0.0:5061\"]\ncps_max = 0\n[meida]\n[desk]\nlisten = \"8080\"\n",
        &[
            "error: sip.listen: must be such as udp:0.0.0.0:5060 or tcp:[::]:5060, is `tls:0.0.0.0:5061` (tandem.toml:2:11)",
            "error: sip.cps_max: must be 1 to 10000, is 0 (tandem.toml:3:11)",
            "error: meida: unknown key, did you mean `media`? (tandem.toml:4:2)",
            "error: desk.listen: must be such as 127.0.0.1:8080, is `8080` (tandem.toml:6:10)",
        ],
    );
}

#[test]
fn each_value_is_held_to_what_it_may_be() {
    for (text, what) in [
        ("[sip]\nlisten = []", "sip.listen: is empty"),
        ("[sip]\nexternal_ip = \"0.0.0.0\"", "sip.external_ip: must be auto"),
        ("[sip]\ncalls_max = -1", "sip.calls_max: must be 1 to 100000, is -1"),
        ("[sip]\ndrain_secs = 1.5", "sip.drain_secs: must be a whole number, is a number"),
        ("[media]\nports = \"9-5\"", "media.ports: must be such as"),
        ("[media]\nports = \"80-90\"", "media.ports: must be such as"),
        (
            "[media]\ncodecs = [\"opus\"]",
            "media.codecs: `opus` is no codec of this build: PCMU, PCMA",
        ),
        ("[media]\nthreads = 0", "media.threads: must be 1 to 64"),
        (
            "[speech]\nrecognizer = \"wisper\"",
            "speech.recognizer: must be one of whisper, scripted",
        ),
        ("[speech]\nsynthesizer = \"flite:kal\"", "speech.synthesizer: must be one of flite:slt"),
        ("[speech]\nactivity = \"silero\"", "speech.activity: must be earshot or energy"),
        ("[speech]\nend_of_turn_ms = 100", "speech.end_of_turn_ms: must be 200 to 3000"),
        ("[llm]\nengine = \"local\"", "llm.engine: must be openai, none or scripted"),
        ("[llm]\nurl = \"127.0.0.1:8000\"", "llm.url: must be an http:// or https:// URL"),
        (
            "[speech]\nrecognizer = \"scripted\"\nscript = \"none.txt\"",
            "speech.script: there is no `none.txt`",
        ),
        ("[store]\nurl = \"postgres://db/tandem\"", "store.url: must be sqlite:FILE or memory:"),
        ("[desk]\nurl = \"desk.example.com\"", "desk.url: must be an http:// or https:// URL"),
        ("[desk]\nlisten = \"0.0.0.0:8080\"", "desk.listen: is open to others, so `token`"),
        (
            "[desk]\nwebhook = { url = \"http://a/\", key = \"${env:NO}\" }",
            "desk.webhook.key: the environment has no NO",
        ),
        ("[desk]\nwebhook = { key = \"${env:NO}\" }", "desk.webhook.url: is missing"),
        ("sip = 5", "sip: must be a table, is a whole number"),
    ] {
        let (_, mistakes) = read(text, &nothing);
        let told = mistakes.iter().any(|mistake| mistake.starts_with(&format!("error: {what}")));
        assert!(told, "{text}: {mistakes:?}");
    }
}

#[test]
fn each_transport_has_one_address() {
    check(
        "[sip]\nlisten = [\"udp:0.0.0.0:5060\", \"tcp:0.0.0.0:5060\", \"udp:10.0.0.1:5080\"]\n",
        &["error: sip.listen: has one address for each transport (tandem.toml:2:51)"],
    );
}

#[test]
fn what_works_though_hardly_as_meant_is_a_warning() {
    check(
        "[media]\nports = \"20000-20099\"\n[desk]\ntoken = \"s3cret\"\n[speech]\nscript = \"a\"\n",
        &[
            "warning: media.ports: is enough for 25 calls, and sip.calls_max is 2000 (tandem.toml:2:9)",
            "warning: desk.token: is written in the clear: ${env:NAME} takes it from the environment (tandem.toml:4:9)",
            "warning: speech.script: is not read: the recognizer is not scripted (tandem.toml:6:10)",
        ],
    );
}

#[test]
fn a_server_of_somebody_else_is_not_started() {
    for (text, starts) in [
        ("", true),
        ("[llm]\nurl = \"http://gpu:8000/v1\"", false),
        ("[llm]\nurl = \"http://127.0.0.1:1/v1\"\nspawn = [\"serve\"]", true),
        ("[llm]\nspawn = []", false),
    ] {
        let (config, mistakes) = read(text, &nothing);
        assert_eq!(mistakes, [""; 0], "{text}");
        assert_eq!(!config.llm.spawn.is_empty(), starts, "{text}");
    }
}

#[test]
fn the_built_in_dialplan_is_without_a_mistake() {
    let report = Report::default();
    let built_in = dialplan::load(&Config::default().dialplan_folder(), &report);
    assert_eq!(report.into_mistakes(), []);
    assert_eq!(built_in.expect("right").routes.len(), 1);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let report = Report::default();
    let path = Some(Path::new("nowhere/tandem.toml"));
    assert_eq!(Config::load(path, Purpose::Look, &nothing, &report), None);
    let told: Vec<String> = report.into_mistakes().iter().map(Mistake::to_string).collect();
    assert_eq!(
        told,
        ["error: configuration: cannot be read: there is no such file (nowhere/tandem.toml)"]
    );
}
