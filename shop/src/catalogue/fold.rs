//! Turns text into the words that search compares: case and diacritics folded. Pure.

use unicode_normalization::{UnicodeNormalization, char::canonical_combining_class};

/// Appends `text` folded: compatibility forms decomposed, accents dropped, lower case, letters such as `ß` and `ø` spelt out.
pub(super) fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        folded.extend(text.chars().map(|character| character.to_ascii_lowercase()));
        return;
    }
    // A combining class of zero keeps vowel signs that are letters of their own, as in Devanagari and Thai.
    let base = text.nfkd().filter(|&character| canonical_combining_class(character) == 0);
    for character in base.flat_map(char::to_lowercase) {
        match character {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ł' => folded.push('l'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            other => folded.push(other),
        }
    }
}

/// The same text folded.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded);
    folded
}

/// The words of a folded text: runs of letters and digits, apostrophes left out (`men's` is `mens`).
pub(super) fn words(folded: &str) -> impl Iterator<Item = Word<'_>> {
    folded
        .split(|character: char| !character.is_alphanumeric() && !is_apostrophe(character))
        .map(Word)
        .filter(|word| word.0.contains(|character| !is_apostrophe(character)))
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '\u{2019}')
}

/// A word that may still hold apostrophes.
#[derive(Clone, Copy)]
pub(super) struct Word<'text>(&'text str);

impl<'text> Word<'text> {
    /// Its letters and digits, borrowed when nothing has to go.
    pub(super) fn letters(self) -> std::borrow::Cow<'text, str> {
        if self.0.contains(is_apostrophe) { self.0.replace(is_apostrophe, "").into() } else { self.0.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded_words(text: &str) -> Vec<String> {
        words(&fold(text)).map(|word| word.letters().into_owned()).collect()
    }

    #[test]
    fn case_and_diacritics_do_not_tell_words_apart() {
        assert_eq!(folded_words("Crème BRÛLÉE"), ["creme", "brulee"]);
        assert_eq!(folded_words("Straße, Smørrebrød, Łódź"), ["strasse", "smorrebrod", "lodz"]);
        assert_eq!(folded_words("ΣΊΣΥΦΟΣ Σίσυφος"), ["σισυφοσ", "σισυφοσ"]);
        assert_eq!(folded_words("İstanbul ﬁne Ａ４"), ["istanbul", "fine", "a4"]);
    }

    #[test]
    fn letters_of_other_scripts_stay() {
        assert_eq!(folded_words("がらす コップ").len(), 2);
        assert_eq!(folded_words("чашка"), ["чашка"]);
        assert_ne!(fold("लाल"), fold("लल"));
    }

    #[test]
    fn words_end_where_letters_and_digits_end() {
        assert_eq!(folded_words("KIT-0042 men's 1.5l \0 ' ’"), ["kit", "0042", "mens", "1", "5l"]);
        assert!(folded_words("... --- \u{200b}").is_empty());
    }
}
