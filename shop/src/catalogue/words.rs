//! All words of a catalogue in order, and the ranges of them that a search term means. Pure.

use std::ops::Range;

/// Words in byte order, without doubles; a word is known by its number.
#[derive(Debug, Default)]
pub(super) struct Words {
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u32>,
}

/// The words that one misspelling of a term may mean.
#[derive(Debug, Default)]
pub(super) struct Misspelt {
    /// Words that are one typo away as a whole; ascending, without doubles.
    pub(super) whole: Vec<u32>,
    /// Ranges of words of which a beginning is one typo away; may overlap.
    pub(super) prefixes: Vec<Range<u32>>,
}

impl Words {
    /// Appends a word, which must come after all before it.
    pub(super) fn push(&mut self, word: &str) {
        debug_assert!(self.ends.is_empty() || self.word(self.count() - 1) < word, "words come in order");
        self.text.push_str(word);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// How many words there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// Bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    /// Gives back memory that was set aside for more words.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn word(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] as usize };
        &self.text[start..self.ends[number] as usize]
    }

    /// The words that start with `prefix`.
    pub(super) fn starting_with(&self, prefix: &str) -> Range<u32> {
        self.narrow(0..self.count(), prefix)
    }

    /// Of the words that all start with the same `bytes` bytes, the one that has no more than those.
    pub(super) fn whole(&self, starting: &Range<u32>, bytes: usize) -> Option<u32> {
        (!starting.is_empty() && self.word(starting.start).len() == bytes).then_some(starting.start)
    }

    /// Those of `within` that start with `prefix`.
    fn narrow(&self, within: Range<u32>, prefix: &str) -> Range<u32> {
        let start = self.first(within.clone(), |word| word >= prefix);
        let end = self.first(start..within.end, |word| !word.starts_with(prefix));
        start..end
    }

    /// The first of `within` for which `holds` is true; it must be false up to one place and true from there.
    fn first(&self, within: Range<u32>, holds: impl Fn(&str) -> bool) -> u32 {
        let (mut low, mut high) = (within.start, within.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.word(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// The words that `term` means when one character of it is wrong, missing or too many, or two neighbours are swapped.
    ///
    /// A walk down the words as if they were a trie: where the term may go wrong, at each character, it follows only characters that some word has
    /// there.
    pub(super) fn misspelt(&self, term: &str) -> Misspelt {
        let mut found = Misspelt::default();
        // The words that share the term's beginning up to `at`.
        let mut sharing = 0..self.count();
        for (at, character) in term.char_indices() {
            let (head, tail) = (&term[..at], &term[at..]);
            let rest = &tail[character.len_utf8()..];
            // One too many in the term.
            self.collect(&mut found, sharing.clone(), head, rest);
            // Two neighbours swapped.
            if let Some(next) = rest.chars().next() {
                let swapped = format!("{head}{next}{character}");
                let within = self.narrow(sharing.clone(), &swapped);
                self.collect(&mut found, within, &swapped, &rest[next.len_utf8()..]);
            }
            self.for_each_next_text(sharing.clone(), head, |with_next, within| {
                // A wrong one in the term.
                self.collect(&mut found, within.clone(), with_next, rest);
                // One missing from the term.
                self.collect(&mut found, within, with_next, tail);
            });
            sharing = self.narrow(sharing, &term[..at + character.len_utf8()]);
        }
        // The last one missing: the word is longer by any one character.
        self.for_each_next_text(sharing, term, |with_next, within| {
            found.whole.extend(self.whole(&within, with_next.len()));
        });
        found.whole.sort_unstable();
        found.whole.dedup();
        found
    }

    /// Adds those of `within`, which all start with `head`, that go on with `rest`.
    fn collect(&self, found: &mut Misspelt, within: Range<u32>, head: &str, rest: &str) {
        if within.is_empty() {
            return;
        }
        let wanted = format!("{head}{rest}");
        let starting = self.narrow(within, &wanted);
        found.whole.extend(self.whole(&starting, wanted.len()));
        if !starting.is_empty() {
            found.prefixes.push(starting);
        }
    }

    /// Calls `each` with `head` and one more character, and the words that start so, for every character that some of `within` has there.
    fn for_each_next_text(&self, within: Range<u32>, head: &str, mut each: impl FnMut(&str, Range<u32>)) {
        self.for_each_next(within, head.len(), |bytes, starting| each(&self.word(starting.start)[..bytes], starting));
    }

    /// As the words of `within` share their first `shared` bytes: calls `each` for every character that some have next, with the bytes that those
    /// share and their range.
    pub(super) fn for_each_next(&self, within: Range<u32>, shared: usize, mut each: impl FnMut(usize, Range<u32>)) {
        let mut at = within.start;
        while at < within.end {
            let word = self.word(at);
            let Some(next) = word[shared..].chars().next() else {
                at += 1;
                continue;
            };
            let head = &word[..shared + next.len_utf8()];
            let end = self.first(at..within.end, |word| !word.starts_with(head));
            each(head.len(), at..end);
            at = end;
        }
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
pub(super) mod tests;
