//! The files of a dialplan folder, as they are written: [`read`] makes [`Draft`]s of them.
//!
//! Every value in a draft is right by itself. Whether the names in it lead anywhere is proved by
//! [`lint`](super::lint), which sees all files at once.

mod agent;
mod route;
mod transfer;
mod trunk;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::hours::{self, Closure, Hours, Opening};
use super::{Human, Trunk};
use crate::files::{At, Folder, Place, Report, Source, Table, folder};
use crate::sip::Uri;

pub use agent::{AgentDraft, RuleDraft};
pub use route::RouteDraft;
pub use transfer::{TransferDraft, reason};

/// The version of the language that this build reads.
const SCHEMA: u32 = 1;

/// Things by their names; `None`: its mistakes have been told, though it exists.
pub type Named<T> = BTreeMap<String, At<Option<T>>>;

/// All that the files of a folder say. Each place is that of the name.
#[derive(Debug, Default)]
pub struct Draft {
    /// Complete.
    pub trunks: Named<Trunk>,
    /// Complete.
    pub hours: Named<Arc<Hours>>,
    /// In the order of priority: the files by name, their routes as written.
    pub routes: Vec<At<RouteDraft>>,
    /// With names of triggers and transfers.
    pub agents: Named<AgentDraft>,
    /// With names of transfers.
    pub triggers: Named<Vec<At<RuleDraft>>>,
    /// With names of humans and of other transfers.
    pub transfers: Named<TransferDraft>,
    /// With names of trunks.
    pub humans: Named<HumanDraft>,
}

/// A person, with the place of the trunk's name.
#[derive(Debug)]
pub struct HumanDraft {
    /// The person.
    pub human: Human,
    /// Where the trunk is named.
    pub trunk: Option<Place>,
}

/// Reads all TOML files of a folder; `None` if one of them could not be read at all, so that its names
/// are not known.
pub fn read(folder: &Folder, report: &Report) -> Option<Draft> {
    let names = match folder.toml_files() {
        Ok(names) => names,
        Err(error) => {
            let why = format!("the folder cannot be read: {}", folder::in_words(&error));
            report.error("dialplans", why, &Place::of(&folder.shown("")));
            return None;
        }
    };
    if names.is_empty() {
        report.error("dialplans", "there is no *.toml file", &Place::of(&folder.shown("")));
        return None;
    }

    let mut draft = Draft::default();
    let mut complete = true;
    for name in &names {
        let read = match folder.read(name) {
            Ok(source) => read_file(&source, folder, report, &mut draft),
            Err(error) => {
                let why = format!("cannot be read: {}", folder::in_words(&error));
                report.error("file", why, &Place::of(&folder.shown(name)));
                None
            }
        };
        complete &= read.is_some();
    }
    complete.then_some(draft)
}

/// Adds what one file says.
fn read_file(source: &Source, folder: &Folder, report: &Report, draft: &mut Draft) -> Option<()> {
    let mut file = Table::parse(source, report)?;
    file.require(&["schema"]);
    if let Some(schema) = file.integer("schema", 0..=u32::MAX).filter(|schema| *schema != SCHEMA) {
        let why = format!("is {schema}, and this build reads schema {SCHEMA}");
        report.error("schema", why, &source.place(0));
        return None;
    }

    for (name, table) in file.named("trunk") {
        let trunk = trunk::read(&name.value, table);
        add(&mut draft.trunks, "trunk", name, trunk, report);
    }
    for (name, table) in file.named("hours") {
        let hours = read_hours(table).map(Arc::new);
        add(&mut draft.hours, "hours", name, hours, report);
    }
    for table in file.array("route") {
        draft.routes.extend(route::read(table));
    }
    for (name, table) in file.named("agent") {
        let agent = agent::read(table, folder);
        add(&mut draft.agents, "agent", name, agent, report);
    }
    for (name, table) in file.named("triggers") {
        let rules = agent::read_rules(table, folder);
        add(&mut draft.triggers, "triggers", name, rules, report);
    }
    for (name, table) in file.named("transfer") {
        let transfer = transfer::read(table, folder);
        add(&mut draft.transfers, "transfer", name, Some(transfer), report);
    }
    for (name, table) in file.named("human") {
        let human = read_human(table);
        add(&mut draft.humans, "human", name, human, report);
    }
    file.finish();
    Some(())
}

/// Adds something under its name. A name stands for one thing, whichever file it is in.
fn add<T>(all: &mut Named<T>, kind: &str, name: At<String>, thing: Option<T>, report: &Report) {
    let At { value: name, place } = name;
    match all.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(At { value: thing, place });
        }
        Entry::Occupied(first) => {
            let (what, why) = twice(kind, first.key(), &first.get().place);
            report.error(what, why, &place);
        }
    }
}

/// What is said of a name that is defined again.
pub fn twice(kind: &str, name: &str, first: &Place) -> (String, String) {
    (format!("{kind}.{name}"), format!("defined twice, first at {first}"))
}

fn read_hours(mut table: Table<'_>) -> Option<Hours> {
    table.require(&["tz", "open"]);
    let zone = table.parsed("tz", hours::zone);
    let open = table.list("open", Opening::parse);
    let closed = table.list("closed", Closure::parse).unwrap_or_default();
    table.finish();
    Some(Hours {
        zone: zone?.value,
        open: open?.into_iter().map(|opening| opening.value).collect(),
        closed: closed.into_iter().map(|closure| closure.value).collect(),
    })
}

fn read_human(mut table: Table<'_>) -> Option<HumanDraft> {
    table.require(&["name", "uri"]);
    let name = table.text("name");
    let uri = table.parsed("uri", reachable_uri);
    let trunk = table.text("trunk");
    if let Some(name) = name.as_ref().filter(|name| name.value.trim().is_empty()) {
        table.error("name", "is empty, and it is spoken", &name.place);
    }
    table.finish();
    let (place, trunk) = trunk.map(|trunk| (trunk.place, trunk.value)).unzip();
    let human = Human { name: name?.value, uri: uri?.value, trunk };
    Some(HumanDraft { human, trunk: place })
}

/// A URI that we can dial, in principle.
fn reachable_uri(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("`{text}` is no URI: {error}"))?;
    match &uri {
        Uri::Sip(sip) if sip.is_secure() => {
            Err(format!("`{text}` needs TLS, and there is only UDP and TCP"))
        }
        Uri::Sip(_) | Uri::Tel(_) => Ok(uri),
        Uri::Other(_) => Err(format!("`{text}` must be a sip: or a tel: URI")),
    }
}
