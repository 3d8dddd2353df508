//! "Did you mean …?": the known word that a mistyped one was meant to be.

/// The one of `known` that `word` was probably meant to be.
pub fn nearest<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k (impl AsRef<str> + ?Sized + 'k)>,
) -> Option<&'k str> {
    let distances = known.into_iter().map(|known| (distance(word, known.as_ref()), known.as_ref()));
    let close = distances.filter(|(distance, known)| distance * 3 <= known.chars().count());
    close.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// How many letters have to be put in, left out, changed or swapped with their neighbour to make one
/// word of the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let differs = usize::from(one[i - 1] != other[j - 1]);
            let changed = rows[i - 1][j - 1] + differs;
            let mut least = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_proposed_and_a_far_one_is_not() {
        for (word, proposal) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("calls_mx", Some("calls_max")),
            ("tls", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &["listen", "calls_max"]), proposal, "{word}");
        }
    }
}
