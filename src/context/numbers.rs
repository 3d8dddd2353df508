//! Whether the numbers in a text were said: a model may put things in its own words, but an invoice
//! number, an amount or a date that nobody mentioned is an invention.

/// The first number in `claim` that is not in `source`; `None` if all of them are.
///
/// Numbers are compared by value as they are written: `1,200` is `1200` and `75.00` is `75`. What a
/// recogniser wrote in groups (`45 21`, `555-1234`) is found as one number too.
pub fn unfounded(claim: &str, source: &str) -> Option<String> {
    let said = numbers(source);
    numbers(claim).into_iter().find(|number| !was_said(number, &said)).map(|number| number.value)
}

#[derive(Debug, PartialEq)]
struct Number {
    value: String,
    /// Only blanks, hyphens or dots stand between it and the number before.
    continues: bool,
}

fn was_said(number: &Number, said: &[Number]) -> bool {
    (0..said.len()).any(|first| {
        let mut joined = String::new();
        for (place, group) in said[first..].iter().enumerate() {
            if place > 0 && !group.continues {
                return false;
            }
            joined.push_str(&group.value);
            if joined == number.value {
                return true;
            }
            if joined.len() >= number.value.len() {
                return false;
            }
        }
        false
    })
}

fn numbers(text: &str) -> Vec<Number> {
    let mut numbers = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let between = &rest[..start];
        let continues = !numbers.is_empty() && between.chars().all(|c| " -./()".contains(c));
        let length = number_length(&rest[start..]);
        let value = value(&rest[start..start + length]);
        numbers.push(Number { value, continues });
        rest = &rest[start + length..];
    }
    numbers
}

/// How many bytes of the text are one number: digits, with a point or a comma between digits.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digit = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_digit);
    let mut length = 0;
    while digit(length) || (matches!(bytes.get(length), Some(b'.' | b',')) && digit(length + 1)) {
        length += 1;
    }
    length
}

/// The number in one spelling: thousands without commas, a fraction behind a point and without the
/// zeros at its end.
fn value(written: &str) -> String {
    let Some(last) = written.rfind(['.', ',']) else { return written.to_owned() };
    let (whole, fraction) = (&written[..last], &written[last + 1..]);
    let whole = whole.replace(['.', ','], "");
    if fraction.len() == 3 && written.as_bytes()[last] == b',' {
        return whole + fraction;
    }
    match fraction.trim_end_matches('0') {
        "" => whole,
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_were_said_are_founded_however_they_are_written() {
        let source = "Invoice 4521. I paid 89.95 and then 1200, call 555-12 34. The limit is $75.";
        for claim in [
            "invoice #4521",
            "$89.95",
            "89,95 EUR",
            "1,200 and 1200.00",
            "5551234",
            "555-1234",
            "75.00",
            "no numbers at all",
        ] {
            assert_eq!(unfounded(claim, source), None, "{claim}");
        }
    }

    #[test]
    fn numbers_that_nobody_said_are_named() {
        let source = "Invoice 4521. I paid 89.95, not 8995 times. Room 12, floor 34.";
        for (claim, invented) in [
            ("invoice 4512", "4512"),
            ("invoice 45", "45"),
            ("invoice 14521", "14521"),
            ("paid 89.9", "89.9"),
            ("paid 89", "89"),
            ("both 4521 and 7", "7"),
            // A comma and a word stand between them: two numbers, not one.
            ("number 1234", "1234"),
        ] {
            assert_eq!(unfounded(claim, source).as_deref(), Some(invented), "{claim}");
        }
        assert_eq!(unfounded("order 1", ""), Some("1".to_owned()));
    }
}
