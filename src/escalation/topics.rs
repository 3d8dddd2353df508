//! Topics that policy keeps for people: each name stands for the words by which callers speak of it.
//!
//! What the seven names that we know stand for is in `topics.txt`, in the language of
//! [`phrases`](super::phrases). Any other name stands for its own words, and for their plural.

use crate::escalation::phrases::{PhraseError, Phrases};
use crate::escalation::words::Words;

/// What callers say for each topic: `## name`, then phrases.
const KNOWN: &str = include_str!("topics.txt");

/// The topics of one rule, compiled, in the order in which the dialplan names them.
#[derive(Clone, Debug)]
pub struct Topics {
    topics: Vec<Topic>,
}

#[derive(Clone, Debug)]
struct Topic {
    name: String,
    phrases: Phrases,
}

/// A name that cannot be a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot be a topic")]
pub struct TopicError {
    /// The name.
    pub name: String,
    /// What is wrong with its words.
    #[source]
    pub cause: PhraseError,
}

impl Topics {
    /// Compiles topics by their names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, TopicError> {
        let topics = names.into_iter().map(|name| match compile(name) {
            Ok(phrases) => Ok(Topic { name: name.to_owned(), phrases }),
            Err(cause) => Err(TopicError { name: name.to_owned(), cause }),
        });
        Ok(Topics { topics: topics.collect::<Result<_, _>>()? })
    }

    /// The names of the topics, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(|topic| topic.name.as_str())
    }

    /// The first of the topics that was spoken of, by its name.
    pub fn find(&self, said: &Words) -> Option<&str> {
        let topic = self.topics.iter().find(|topic| topic.phrases.find(said).is_some())?;
        Some(&topic.name)
    }
}

fn compile(name: &str) -> Result<Phrases, PhraseError> {
    let spoken = Words::new(name).iter().collect::<Vec<_>>().join(" ");
    match known(&spoken) {
        Some(phrases) => Phrases::parse(phrases),
        None if spoken.is_empty() => Phrases::parse(""),
        None => Phrases::parse(&format!("{spoken}\n{spoken}s\n{spoken}es")),
    }
}

/// The phrases below `## name`.
fn known(name: &str) -> Option<&'static str> {
    let heading = format!("\n## {name}\n");
    let (_, section) = KNOWN.split_once(heading.as_str())?;
    Some(section.split_once("\n## ").map_or(section, |(section, _)| section))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: [&str; 7] = [
        "legal",
        "lawsuit",
        "attorney",
        "data deletion",
        "gdpr",
        "security breach",
        "account compromise",
    ];

    #[track_caller]
    fn check(said: &str, expected: Option<&str>) {
        let topics = Topics::new(SEVEN).expect("we know these");
        assert_eq!(topics.find(&Words::new(said)), expected, "{said}");
    }

    #[test]
    fn each_of_the_seven_is_known_by_more_than_its_name() {
        for name in SEVEN {
            assert!(known(name).is_some(), "{name}");
            check(name, Some(name));
            check(&format!("I am calling about {}.", name.to_uppercase()), Some(name));
        }
    }

    #[test]
    fn topics_are_found_in_the_words_that_callers_use() {
        check("I will take legal action against you", Some("legal"));
        check("There will be lawsuits.", Some("lawsuit"));
        check("I am going to sue you.", Some("lawsuit"));
        check("I'll see you in court", Some("lawsuit"));
        check("You will hear from my lawyer.", Some("attorney"));
        check("Our attorneys' office wrote to you", Some("attorney"));
        check("Please delete all my data.", Some("data deletion"));
        check("I want you to erase my personal information", Some("data deletion"));
        check("I want my data to be deleted.", Some("data deletion"));
        check("I invoke the right to be forgotten", Some("data deletion"));
        check("Under G.D.P.R. you must answer", Some("gdpr"));
        check("the General Data Protection Regulation", Some("gdpr"));
        check("I read about your data breach", Some("security breach"));
        check("Was my data leaked?", Some("security breach"));
        check("Somebody hacked into my account.", Some("account compromise"));
        check("I think my account has been hacked", Some("account compromise"));
        check("someone else is using my account", Some("account compromise"));
    }

    #[test]
    fn a_word_inside_another_or_in_another_trade_is_no_topic() {
        check("My legal name is on the invoice", None);
        check("She is a paralegal", None);
        check("I sent it to Sue and she liked it", None);
        check("The issue is with the tissue box", None);
        check("How do I delete an item from my cart?", None);
        check("I have an account with you", None);
        check("The tennis court is closed", None);
        check("Is the data on the page up to date?", None);
    }

    #[test]
    fn an_unknown_topic_stands_for_its_own_words() {
        let topics = Topics::new(["chargeback", "press inquiry"]).expect("any words will do");
        assert_eq!(topics.find(&Words::new("about those Chargebacks")), Some("chargeback"));
        assert_eq!(topics.find(&Words::new("a press-inquiry")), Some("press inquiry"));
        assert_eq!(topics.find(&Words::new("press one")), None);
        assert!(Topics::new(["?!"]).is_err());
    }

    #[test]
    fn the_order_of_the_dialplan_decides_between_two() {
        check("My attorney will file a lawsuit", Some("lawsuit"));
        let topics = Topics::new(["attorney", "lawsuit"]).expect("we know these");
        assert_eq!(topics.find(&Words::new("My attorney will file a lawsuit")), Some("attorney"));
    }
}
