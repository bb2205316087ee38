//! "Did you mean": the nearest known word to an unknown one.

/// The known word that the unknown one most probably stands for.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(unknown);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&wanted, &plain(word)), word))
        .filter(|(distance, word)| *distance <= tolerance(word))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Help for an unknown word: the nearest known one, or all of them.
#[must_use]
pub fn help<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(unknown, known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None if known.is_empty() => "there is none to choose from".to_owned(),
        None => format!("use {}", either(known)),
    }
}

/// "`a`, `b` or `c`".
#[must_use]
pub fn either<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match words.pop() {
        None => String::new(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
    }
}

/// "`a`, `b` and `c`", or "nobody".
#[must_use]
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match words.pop() {
        None => "nobody".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}

/// Case and the choice between `-` and `_` are no difference between words.
fn plain(word: &str) -> String {
    word.to_ascii_lowercase().replace('-', "_")
}

/// A third of the letters may be wrong, in short words one.
fn tolerance(word: &str) -> usize {
    (word.len() / 3).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 4] = ["address", "idle_timeout", "head_timeout", "name"];

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("adress", KEYS), Some("address"));
        assert_eq!(nearest("idle-timeout", KEYS), Some("idle_timeout"));
        assert_eq!(nearest("Name", KEYS), Some("name"));
    }

    #[test]
    fn a_word_that_is_far_from_all_gets_the_whole_list() {
        assert_eq!(nearest("colour", KEYS), None);
        assert_eq!(
            help("colour", KEYS),
            "use `address`, `idle_timeout`, `head_timeout` or `name`"
        );
    }

    #[test]
    fn without_known_words_nothing_is_suggested() {
        assert_eq!(help("a", []), "there is none to choose from");
    }
}
