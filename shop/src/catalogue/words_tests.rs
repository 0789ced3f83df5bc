use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn words(texts: impl IntoIterator<Item = String>) -> (Words, Vec<String>) {
    let sorted: Vec<String> = texts.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut words = Words::default();
    for word in &sorted {
        words.push(word);
    }
    (words, sorted)
}

/// Edits between two words when neighbours may be swapped: the textbook table, one row and column a character.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut table = vec![vec![0; right.len() + 1]; left.len() + 1];
    for row in 0..=left.len() {
        for column in 0..=right.len() {
            table[row][column] = if row == 0 || column == 0 {
                row + column
            } else {
                let wrong = usize::from(left[row - 1] != right[column - 1]);
                let mut least = (table[row - 1][column - 1] + wrong)
                    .min(table[row - 1][column] + 1)
                    .min(table[row][column - 1] + 1);
                if row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1] {
                    least = least.min(table[row - 2][column - 2] + 1);
                }
                least
            };
        }
    }
    table[left.len()][right.len()]
}

pub(crate) fn beginnings(word: &str) -> impl Iterator<Item = &str> {
    word.char_indices().map(|(at, _)| &word[..at]).chain([word])
}

#[test]
fn a_prefix_finds_the_words_that_start_with_it() {
    let (words, _) = words(["lamp", "lamb", "lampshade", "mug", "élan"].map(String::from));
    let starting = words.starting_with("lamp");
    assert_eq!(starting.len(), 2);
    assert_eq!(words.whole(&starting, 4), Some(starting.start));
    assert_eq!(words.whole(&words.starting_with("lam"), 3), None);
    assert!(words.starting_with("lampz").is_empty());
    assert_eq!(words.starting_with("").len(), 5);
}

#[test]
fn the_distance_of_a_swap_is_one() {
    assert_eq!(distance("coffee", "cofefe"), 1);
    assert_eq!(distance("coffee", "cofee"), 1);
    assert_eq!(distance("ab", "ba"), 1);
    assert_eq!(distance("abc", ""), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn misspelt_finds_the_words_that_are_one_edit_away(texts in prop::collection::vec("[abé]{1,7}", 0..40), term in "[abcé]{1,6}") {
        let (words, sorted) = words(texts);
        let found = words.misspelt(&term);

        let numbers = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<u32> {
            (0..).zip(&sorted).filter(|(_, word)| wanted(word)).map(|(number, _)| number).collect()
        };
        let prefixes: BTreeSet<u32> =
            found.prefixes.iter().cloned().flatten().chain(words.starting_with(&term)).collect();
        prop_assert_eq!(
            prefixes,
            numbers(&|word| beginnings(word).any(|beginning| distance(&term, beginning) <= 1))
        );
        // A word that is the term itself may or may not be called misspelt: search ranks it as exact anyway.
        let whole: BTreeSet<u32> =
            found.whole.iter().copied().chain(words.whole(&words.starting_with(&term), term.len())).collect();
        prop_assert_eq!(whole, numbers(&|word| distance(&term, word) <= 1));
    }
}
