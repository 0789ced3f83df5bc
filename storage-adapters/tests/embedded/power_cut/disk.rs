//! A model of a disk: what changes, which of it is durable, and what a power cut may leave.
//!
//! It promises as little as a file system may: bytes are durable when their file was synced, names when their folder was.
//! Of what is not, any part may be there and any part not, in any order, a write also by half; only a rename is whole.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use rand::{Rng, RngExt};

use super::recording::Call;

/// Names of the changes of which every subset is tried; of older ones some.
const NEWEST: usize = 7;

/// A file or a folder, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    File(usize),
    Folder(usize),
}

impl Node {
    /// Whether what is synced or named is a folder.
    pub(super) fn is_folder(self) -> bool {
        matches!(self, Self::Folder(_))
    }
}

/// The folder of the store's parent.
const PARENT: Node = Node::Folder(0);

/// A name in a folder.
type Place = (Node, String);

/// One thing that happened.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A name was given, taken over or removed, all in one step.
    Named(Vec<(Place, Option<Node>)>),
    /// Bytes were written.
    Wrote { file: Node, offset: usize, bytes: Vec<u8> },
    /// What changed of it before is durable.
    Synced(Node),
    /// The process said this.
    Said(String),
}

/// The changes without the syncs of such nodes, as if the store had never asked for them.
pub(super) fn forget_syncs(changes: &mut Vec<Change>, is_such: impl Fn(Node) -> bool) {
    changes.retain(|change| !matches!(change, Change::Synced(node) if is_such(*node)));
}

/// Turns calls into changes.
pub(super) struct Recorder {
    root: PathBuf,
    names: HashMap<Place, Node>,
    open: HashMap<String, Node>,
    nodes: usize,
    changes: Vec<Change>,
}

impl Recorder {
    /// Records what happens in and below the parent of the folder `store`.
    pub(super) fn new(store: &Path) -> Self {
        let root = store.parent().expect("a parent").to_path_buf();
        Self { root, names: HashMap::new(), open: HashMap::new(), nodes: 0, changes: Vec::new() }
    }

    pub(super) fn changes(self) -> Vec<Change> {
        self.changes
    }

    /// Takes over what a call did, if it concerns the store.
    pub(super) fn call(&mut self, call: &Call) {
        let at = &call.arguments;
        match (call.name.as_str(), at.len()) {
            ("open", _) => self.opened(call, self.place("AT_FDCWD", &at[0].path()).as_ref(), at[1].word()),
            ("openat", _) => self.opened(call, self.place(at[0].word(), &at[1].path()).as_ref(), at[2].word()),
            ("mkdir", _) => self.made_folder(self.place("AT_FDCWD", &at[0].path())),
            ("mkdirat", _) => self.made_folder(self.place(at[0].word(), &at[1].path())),
            ("rename", _) => {
                self.renamed(self.place("AT_FDCWD", &at[0].path()), self.place("AT_FDCWD", &at[1].path()));
            }
            ("renameat" | "renameat2", _) => {
                self.renamed(self.place(at[0].word(), &at[1].path()), self.place(at[2].word(), &at[3].path()));
            }
            ("link", _) => self.linked(self.place("AT_FDCWD", &at[0].path()), self.place("AT_FDCWD", &at[1].path())),
            ("linkat", _) => {
                self.linked(self.place(at[0].word(), &at[1].path()), self.place(at[2].word(), &at[3].path()));
            }
            ("unlink" | "rmdir", _) => self.removed(self.place("AT_FDCWD", &at[0].path())),
            ("unlinkat", _) => self.removed(self.place(at[0].word(), &at[1].path())),
            ("write", _) if at[0].word() == "1" => {
                let text = String::from_utf8_lossy(at[1].bytes()).into_owned();
                self.changes.push(Change::Said(text));
            }
            ("pwrite64", _) => {
                if let Some(file) = self.open.get(at[0].word()).copied() {
                    let offset = at[3].word().parse().expect("an offset");
                    let bytes = at[1].bytes()[..usize::try_from(call.result).expect("small")].to_vec();
                    self.changes.push(Change::Wrote { file, offset, bytes });
                }
            }
            ("fsync" | "fdatasync", _) => {
                if let Some(node) = self.open.get(at[0].word()) {
                    self.changes.push(Change::Synced(*node));
                }
            }
            // Any other call that changes something of the store would make the model wrong.
            _ => {
                let is_ours = at.first().is_some_and(|file| self.open.contains_key(file.word()));
                assert!(!is_ours, "the model does not know what this did: {call:?}");
            }
        }
    }

    /// The place that a path names, seen from the folder `from`; none outside of the store.
    fn place(&self, from: &str, path: &Path) -> Option<Place> {
        let (mut folder, rest) = match self.open.get(from) {
            Some(folder) if path.is_relative() => (*folder, path),
            _ => (PARENT, path.strip_prefix(&self.root).ok()?),
        };
        let name = rest.file_name()?.to_str()?.to_owned();
        for part in rest.parent()? {
            folder = *self.names.get(&(folder, part.to_str()?.to_owned()))?;
        }
        Some((folder, name))
    }

    fn opened(&mut self, call: &Call, place: Option<&Place>, flags: &str) {
        let file = call.result.to_string();
        // The number may have stood for another file before.
        self.open.remove(&file);
        let path =
            call.arguments.iter().find(|argument| argument.word().is_empty()).map(super::recording::Argument::path);
        if path.is_some_and(|path| path == self.root) {
            self.open.insert(file, PARENT);
            return;
        }
        let Some(place) = place else { return };
        let node = self.names.get(place).copied().or_else(|| {
            flags.contains("O_CREAT").then(|| {
                self.nodes += 1;
                let node = Node::File(self.nodes);
                self.name(vec![(place.clone(), Some(node))]);
                node
            })
        });
        if let Some(node) = node {
            assert!(!flags.contains("O_TRUNC"), "the model knows no truncation");
            self.open.insert(file, node);
        }
    }

    fn made_folder(&mut self, place: Option<Place>) {
        if let Some(place) = place {
            self.nodes += 1;
            self.name(vec![(place, Some(Node::Folder(self.nodes)))]);
        }
    }

    fn renamed(&mut self, from: Option<Place>, to: Option<Place>) {
        if let (Some(from), Some(to)) = (from, to) {
            let node = self.names[&from];
            self.name(vec![(from, None), (to, Some(node))]);
        }
    }

    fn linked(&mut self, from: Option<Place>, to: Option<Place>) {
        if let (Some(from), Some(to)) = (from, to) {
            let node = self.names[&from];
            self.name(vec![(to, Some(node))]);
        }
    }

    fn removed(&mut self, place: Option<Place>) {
        if let Some(place) = place {
            self.name(vec![(place, None)]);
        }
    }

    fn name(&mut self, names: Vec<(Place, Option<Node>)>) {
        for (place, node) in &names {
            match node {
                Some(node) => self.names.insert(place.clone(), *node),
                None => self.names.remove(place),
            };
        }
        self.changes.push(Change::Named(names));
    }
}

/// How much of a change that was not durable is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    /// Of a write the first half; of a name all.
    Half,
    All,
}

/// What is left of each change that was not durable.
pub(super) type Choice = Vec<Kept>;

/// A moment at which the power is cut.
pub(super) struct Cut<'record> {
    changes: &'record [Change],
    /// Which of the changes are not durable.
    open: Vec<usize>,
}

impl<'record> Cut<'record> {
    /// Cuts when these changes have happened.
    pub(super) fn after(changes: &'record [Change]) -> Self {
        let mut synced = Vec::new();
        let mut open = Vec::new();
        for (number, change) in changes.iter().enumerate().rev() {
            let is_durable = match change {
                Change::Named(names) => names.iter().any(|((folder, _), _)| synced.contains(folder)),
                Change::Wrote { file, .. } => synced.contains(file),
                Change::Synced(node) => {
                    synced.push(*node);
                    true
                }
                Change::Said(_) => true,
            };
            if !is_durable {
                open.push(number);
            }
        }
        open.reverse();
        Self { changes, open }
    }

    /// That all is left.
    pub(super) fn everything(&self) -> Choice {
        vec![Kept::All; self.open.len()]
    }

    /// Different parts of what may be left: every part of the newest changes beside all, none and some of the older ones.
    pub(super) fn choices(&self, limit: usize, random: &mut impl Rng) -> Vec<Choice> {
        let newest = self.open.len().min(NEWEST);
        let older = self.open.len() - newest;
        let mut choices = vec![self.everything(), vec![Kept::Nothing; self.open.len()]];
        for subset in 0..1_u32 << newest {
            let tail = (0..newest).map(|bit| if subset >> bit & 1 == 1 { Kept::All } else { Kept::Nothing });
            for head in [Kept::All, Kept::Nothing] {
                choices.push(std::iter::repeat_n(head, older).chain(tail.clone()).collect());
            }
        }
        while choices.len() < limit && !self.open.is_empty() {
            let likely = [0.1, 0.5, 0.9][random.random_range(0..3)];
            let kept = |random: &mut dyn FnMut(f64) -> bool| {
                if !random(likely) {
                    Kept::Nothing
                } else if random(0.5) {
                    Kept::Half
                } else {
                    Kept::All
                }
            };
            let mut draw = |likely| random.random_bool(likely);
            choices.push((0..self.open.len()).map(|_| kept(&mut draw)).collect());
        }
        choices
    }

    /// What is then on the disk.
    pub(super) fn tree(&self, choice: &Choice) -> Tree {
        let kept: HashMap<usize, Kept> = self.open.iter().copied().zip(choice.iter().copied()).collect();
        let mut names: HashMap<&Place, Node> = HashMap::new();
        let mut bodies: HashMap<Node, Vec<u8>> = HashMap::new();
        for (number, change) in self.changes.iter().enumerate() {
            let kept = kept.get(&number).copied().unwrap_or(Kept::All);
            if kept == Kept::Nothing {
                continue;
            }
            match change {
                Change::Named(changed) => {
                    for (place, node) in changed {
                        match node {
                            Some(node) => names.insert(place, *node),
                            None => names.remove(place),
                        };
                    }
                }
                Change::Wrote { file, offset, bytes } => {
                    let bytes = if kept == Kept::Half { &bytes[..bytes.len() / 2] } else { bytes };
                    let body = bodies.entry(*file).or_default();
                    let end = offset + bytes.len();
                    body.resize(body.len().max(end), 0);
                    body[*offset..end].copy_from_slice(bytes);
                }
                Change::Synced(_) | Change::Said(_) => {}
            }
        }
        let mut tree = Tree::default();
        tree.fill(PARENT, Path::new(""), &names, &bodies);
        tree
    }
}

/// Files and folders by their paths; folders have no body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tree(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Tree {
    fn fill(&mut self, folder: Node, path: &Path, names: &HashMap<&Place, Node>, bodies: &HashMap<Node, Vec<u8>>) {
        for ((parent, name), node) in names {
            if *parent != folder {
                continue;
            }
            let path = path.join(name);
            if node.is_folder() {
                self.0.insert(path.clone(), None);
                self.fill(*node, &path, names, bodies);
            } else {
                self.0.insert(path, Some(bodies.get(node).cloned().unwrap_or_default()));
            }
        }
    }

    /// Reads the folder of a store as it is.
    pub(super) fn read(store: &Path) -> Self {
        let mut tree = Self::default();
        let root = store.parent().expect("a parent");
        let mut left = vec![store.to_path_buf()];
        while let Some(path) = left.pop() {
            let name = path.strip_prefix(root).expect("below it").to_path_buf();
            if path.is_dir() {
                left.extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("readable").path()));
                tree.0.insert(name, None);
            } else {
                tree.0.insert(name, Some(fs::read(&path).expect("readable")));
            }
        }
        tree
    }

    /// Makes it so in a new folder; the store's own folder is at `folder`.
    pub(super) fn write(&self, folder: &Path) {
        for (path, body) in &self.0 {
            // The first part of the path is the store's name.
            let path = path.iter().skip(1).fold(folder.to_path_buf(), |path, part| path.join(part));
            match body {
                None => fs::create_dir(&path).expect("writable"),
                Some(body) => fs::write(&path, body).expect("writable"),
            }
        }
    }
}
