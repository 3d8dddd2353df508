//! What the model is asked: rules of the telephone, the persona, what happened, and the conversation as
//! the caller heard it.
//!
//! The conversation is bounded, and it has the strictest shape that chat templates ask for: one system
//! message, then caller and agent in turns, the caller first and last.

use std::collections::VecDeque;

use crate::agent::persona::{PERSONA_BYTES_MAX, Persona};
use crate::agent::{ModelMessage, ModelRequest, Role};

/// The most lines of the conversation that the model is shown.
const LINES_MAX: usize = 24;

/// The most bytes of them. A small local model reads about a hundred tokens in a tenth of a second.
const LINES_BYTES_MAX: usize = 6000;

/// The most notes that the model is shown.
const NOTES_MAX: usize = 8;

/// The most bytes of one note: two sentences. The end of a longer one is kept.
const NOTE_BYTES_MAX: usize = 400;

/// The most bytes of one line; the end of a longer one is kept.
const LINE_BYTES_MAX: usize = 2000;

/// The most tokens of an answer: some two or three spoken sentences.
const ANSWER_TOKENS_MAX: u32 = 120;

/// The tokens of one request that the server which we start has room for: `--context` of
/// `tools/llama-server`. A prompt that does not fit is refused, and every turn would be the fallback line.
const CONTEXT_TOKENS: usize = 8192;

/// The fewest bytes of a token, in the mean of a text: four in English, three where words are long.
const TOKEN_BYTES_MIN: usize = 3;

/// What a chat template puts around each message.
const ENVELOPE_TOKENS: usize = 8;

// 12,288 of the persona, 6,000 of the conversation, 3,200 of notes and some 1,000 of rules are 7,500 tokens;
// 208 of envelopes and 120 of the answer leave room for 360.
const _: () = {
    let notes = NOTES_MAX * NOTE_BYTES_MAX;
    let bytes = PERSONA_BYTES_MAX + LINES_BYTES_MAX + notes + RULES.len() + OTHER_BYTES;
    let envelopes = (LINES_MAX + 2) * ENVELOPE_TOKENS;
    let tokens = bytes / TOKEN_BYTES_MIN + envelopes + ANSWER_TOKENS_MAX as usize;
    assert!(tokens <= CONTEXT_TOKENS);
};

/// The bytes between the parts: the line about the language, headings, dashes.
const OTHER_BYTES: usize = 300;

/// Low, so that facts stay facts.
const TEMPERATURE: f32 = 0.3;

/// What holds for every agent on a telephone, whatever its persona.
const RULES: &str = "\
You are an AI voice assistant on a telephone call. Your words are spoken aloud by a voice.
- Answer in one or two short sentences, in plain spoken language.
- No markdown, no lists, no emoji, no links, no code, no JSON.
- Say numbers, prices and times the way people say them.
- Never claim to be a human. If asked, say that you are an AI assistant.
- Never promise to transfer, connect or call back: others decide that. A caller who wants a person only has to say so.
- If you do not know something, say so. Never invent facts, numbers or names.
- A line of yours that ends with \"\u{2014}\" was cut off there: the caller heard nothing after it.";

/// Stands for the caller when the agent spoke first.
const PHONE_IS_ANSWERED: &str = "(The call is answered.)";

/// Stands for the caller when the agent spoke last.
const NOTHING_SAID: &str = "(The caller says nothing.)";

/// The conversation so far, as much of it as the model is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    lines: VecDeque<Line>,
    notes: VecDeque<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    role: Role,
    text: String,
}

impl History {
    /// The caller said this.
    pub fn heard(&mut self, text: &str) {
        self.push(Role::User, text.to_owned());
    }

    /// The caller heard this from the agent; `interrupted` if there was more to come.
    pub fn said(&mut self, heard: &str, interrupted: bool) {
        // Nothing was heard of it: for the caller it never was.
        if !heard.is_empty() {
            let end = if interrupted { "\u{2014}" } else { "" };
            self.push(Role::Assistant, format!("{heard}{end}"));
        }
    }

    /// The model must know this from now on.
    pub fn note(&mut self, text: &str) {
        self.notes.push_back(tail(text, NOTE_BYTES_MAX).to_owned());
        if self.notes.len() > NOTES_MAX {
            self.notes.pop_front();
        }
    }

    fn push(&mut self, role: Role, text: String) {
        let text = tail(text.trim(), LINE_BYTES_MAX);
        match self.lines.back_mut() {
            Some(last) if last.role == role => {
                let joined = format!("{} {text}", last.text);
                tail(&joined, LINE_BYTES_MAX).clone_into(&mut last.text);
            }
            _ => self.lines.push_back(Line { role, text: text.to_owned() }),
        }
        while self.lines.len() > LINES_MAX || self.bytes() > LINES_BYTES_MAX {
            self.lines.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.text.len()).sum()
    }
}

/// What the model is asked next.
pub fn request(persona: &Persona, language: &str, history: &History) -> ModelRequest {
    let message = |role, content: &str| ModelMessage { role, content: content.to_owned() };
    let mut messages = vec![message(Role::System, &system(persona, language, history))];
    if history.lines.front().is_none_or(|first| first.role == Role::Assistant) {
        messages.push(message(Role::User, PHONE_IS_ANSWERED));
    }
    messages.extend(history.lines.iter().map(|line| message(line.role, &line.text)));
    if messages.last().is_some_and(|last| last.role == Role::Assistant) {
        messages.push(message(Role::User, NOTHING_SAID));
    }
    ModelRequest { messages, tokens_max: ANSWER_TOKENS_MAX, temperature: TEMPERATURE }
}

fn system(persona: &Persona, language: &str, history: &History) -> String {
    let mut text = format!("{RULES}\n- Speak the language with the code \"{language}\".\n");
    text.push('\n');
    text.push_str(persona.text());
    if !history.notes.is_empty() {
        text.push_str("\n\nWhat happened in this call:");
        for note in &history.notes {
            text.push_str("\n- ");
            text.push_str(note);
        }
    }
    text
}

/// The last `bytes_max` bytes of a text, or a little less.
fn tail(text: &str, bytes_max: usize) -> &str {
    let excess = text.len().saturating_sub(bytes_max);
    let start = (excess..=text.len()).find(|at| text.is_char_boundary(*at));
    &text[start.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn ask(history: &History) -> Vec<(Role, String)> {
        let persona = Persona::parse(Path::new("p.md"), "You sell bicycles.").expect("right");
        let request = request(&persona, "en", history);
        request.messages.into_iter().map(|message| (message.role, message.content)).collect()
    }

    fn turns(history: &History) -> Vec<(Role, String)> {
        ask(history).split_off(1)
    }

    #[test]
    fn the_system_message_has_rules_persona_language_and_notes() {
        let mut history = History::default();
        history.note("The transfer failed: nobody answered.");
        let (role, system) = ask(&history).remove(0);
        assert_eq!(role, Role::System);
        assert!(system.starts_with(RULES));
        for part in
            ["code \"en\"", "You sell bicycles.", "\n- The transfer failed: nobody answered."]
        {
            assert!(system.contains(part), "{part}");
        }
    }

    #[test]
    fn the_caller_comes_first_and_last_and_nobody_twice_in_a_row() {
        let mut history = History::default();
        history.said("Good morning.", false);
        history.heard("Hello.");
        history.heard("Are you open?");
        assert_eq!(
            turns(&history),
            [
                (Role::User, PHONE_IS_ANSWERED.to_owned()),
                (Role::Assistant, "Good morning.".to_owned()),
                (Role::User, "Hello. Are you open?".to_owned()),
            ]
        );
        history.said("Yes.", false);
        assert_eq!(turns(&history).last(), Some(&(Role::User, NOTHING_SAID.to_owned())));
    }

    #[test]
    fn an_interrupted_line_ends_where_the_caller_stopped_hearing() {
        let mut history = History::default();
        history.heard("When are you open?");
        history.said("We are open from", true);
        history.said("", true);
        history.heard("No, on Saturday.");
        assert_eq!(turns(&history)[1], (Role::Assistant, "We are open from\u{2014}".to_owned()));
        assert_eq!(turns(&history).len(), 3);
    }

    #[test]
    fn the_longest_prompt_fits_into_the_context_of_the_server_that_we_start() {
        let server = include_str!("../../tools/llama-server");
        let context = format!("\"--context\", type=int, default={CONTEXT_TOKENS},");
        assert!(server.contains(&context), "tools/llama-server has another context");

        let persona = "p".repeat(PERSONA_BYTES_MAX);
        let persona = Persona::parse(Path::new("p.md"), &persona).expect("right");
        let mut history = History::default();
        for _ in 0..50 {
            history.heard(&"h".repeat(2 * LINE_BYTES_MAX));
            history.note(&"n".repeat(2 * LINE_BYTES_MAX));
            history.said(&"s".repeat(240), false);
        }
        let request = request(&persona, "zh-Hant-TW", &history);
        let bytes: usize = request.messages.iter().map(|message| message.content.len()).sum();
        let tokens = bytes / TOKEN_BYTES_MIN + request.messages.len() * ENVELOPE_TOKENS;
        assert!(tokens + ANSWER_TOKENS_MAX as usize <= CONTEXT_TOKENS, "{tokens}");
    }

    #[test]
    fn a_long_call_is_bounded_and_its_end_is_kept() {
        let mut history = History::default();
        for n in 0..500 {
            history.heard(&format!("question {n} {}", "é".repeat(200)));
            history.said(&format!("answer {n}"), false);
            history.note(&format!("note {n}"));
        }
        history.heard(&format!("{} the last", "ü".repeat(9000)));
        let messages = ask(&history);
        assert!(messages.len() <= LINES_MAX + 2);
        let bytes: usize = messages[1..].iter().map(|(_, text)| text.len()).sum();
        assert!(bytes <= LINES_BYTES_MAX + 100);
        assert!(messages.last().is_some_and(|(_, text)| text.ends_with("the last")));
        assert!(messages[0].1.contains("note 499") && !messages[0].1.contains("note 491"));
    }
}
