//! Keys and passwords: written as `${env:NAME}`, taken from the environment, never shown.

use std::fmt;

/// Looks a variable of the environment up. An argument, so that reading a file is a function of what
/// it is given.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A secret. It prints as `«redacted»`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a key that holds a secret says.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// `${env:NAME}`, and the variable is set.
    Set(Secret),
    /// `${env:NAME}`, and the variable is not set, or empty.
    Unset {
        /// The name of the variable.
        variable: String,
    },
    /// The secret itself, for all who can read the file.
    InTheClear(Secret),
}

impl Secret {
    /// Takes a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself, for whoever has to send or compare it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Reads what stands in the file.
pub fn read(text: &str, environment: Environment<'_>) -> Written {
    let variable = text.strip_prefix("${env:").and_then(|rest| rest.strip_suffix('}'));
    let Some(variable) = variable else { return Written::InTheClear(Secret::new(text)) };
    match environment(variable).filter(|value| !value.is_empty()) {
        Some(value) => Written::Set(Secret(value)),
        None => Written::Unset { variable: variable.to_owned() },
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«redacted»")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_comes_from_the_environment_and_is_not_shown() {
        let environment = |name: &str| match name {
            "KEY" => Some("s3cret".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        assert_eq!(read("${env:KEY}", &environment), Written::Set(Secret::new("s3cret")));
        for unset in ["EMPTY", "OTHER"] {
            let written = read(&format!("${{env:{unset}}}"), &environment);
            assert_eq!(written, Written::Unset { variable: unset.to_owned() });
        }
        assert_eq!(read("plain", &environment), Written::InTheClear(Secret::new("plain")));
        assert_eq!(format!("{:?}", Secret::new("s3cret")), "«redacted»");
    }
}
