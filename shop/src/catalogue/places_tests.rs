use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;

use super::*;
use crate::catalogue::{
    publish, sample,
    store::{current, tests::store},
};

const HOME: Provider = Provider::Aws;
const AWAY: Provider = Provider::Azure;
const THIRD: Provider = Provider::Embedded;

/// The stores of a shop that was made in that of [`HOME`].
struct Stores {
    places: Places,
    _folders: [TempDir; 3],
}

impl Stores {
    fn new() -> Self {
        let [(one, home), (two, away), (three, third)] = [store(), store(), store()];
        Self { places: Places::new(HOME, home, [(AWAY, away), (THIRD, third)]), _folders: [one, two, three] }
    }

    async fn import(&self, products: usize, seed: u64) -> u64 {
        publish(&self.places, sample(products, seed).expect("a sample")).await.expect("stored").number
    }

    /// Where the catalogue is, and how many products it has.
    async fn found(&self) -> (Provider, usize) {
        let Found { provider, store, current } = self.places.find().await.expect("a catalogue");
        let (_, record) = current.expect("a catalogue");
        let snapshot = crate::catalogue::store::load(store, &record).await.expect("a whole catalogue");
        (provider, snapshot.product_count())
    }

    async fn record(&self, provider: Provider) -> Option<CurrentRecord> {
        current(self.places.store(provider).expect("open")).await.expect("a store").map(|(_, record)| record)
    }
}

fn to(number: u64, to: Provider) -> Switch {
    Switch::new(number, to)
}

#[tokio::test]
async fn a_catalogue_moves_there_and_back_and_what_is_imported_meanwhile_is_where_it_is() {
    let stores = Stores::new();
    stores.import(10, 1).await;
    assert_eq!(stores.places.move_to(to(1, AWAY)).await.expect("moves"), CatalogueMove::Done);
    assert_eq!(stores.found().await, (AWAY, 10));
    assert_eq!(stores.import(20, 2).await, 2, "importers follow it");
    assert_eq!(stores.record(HOME).await.map(|record| record.number), Some(1));
    assert_eq!(stores.places.move_to(to(1, AWAY)).await.expect("is there"), CatalogueMove::Done);
    assert_eq!(stores.found().await, (AWAY, 20), "a move that is made again brings nothing old back");
    assert_eq!(stores.places.move_to(to(2, HOME)).await.expect("moves back"), CatalogueMove::Done);
    assert_eq!(stores.found().await, (HOME, 20));
    assert_eq!(stores.places.move_to(to(1, AWAY)).await.expect("is old"), CatalogueMove::Superseded);
    assert_eq!(stores.found().await, (HOME, 20));
    assert_eq!(stores.places.move_to(to(3, THIRD)).await.expect("moves on"), CatalogueMove::Done);
    assert_eq!(stores.found().await, (THIRD, 20));
}

#[tokio::test]
async fn a_shop_without_a_catalogue_has_nothing_to_move() {
    assert_eq!(Stores::new().places.move_to(to(1, AWAY)).await.expect("looks"), CatalogueMove::Nothing);
}

#[tokio::test]
async fn a_catalogue_in_a_store_that_is_not_open_is_named() {
    let stores = Stores::new();
    stores.import(10, 1).await;
    stores.places.move_to(to(1, AWAY)).await.expect("moves");
    let home = Arc::clone(&stores.places.stores[&HOME]);
    let error = Places::new(HOME, home, []).find().await.err().expect("it is not at hand");
    assert!(matches!(error, StoreError::Elsewhere(AWAY)), "{error}");
}

/// Somebody who moves the catalogue, and may be stopped between looking and writing, for as long as it pleases fate.
#[derive(Default)]
struct Mover {
    wish: Option<Switch>,
    /// What was found, as records with the number of writes that each store had seen.
    found: BTreeMap<Provider, (u64, CurrentRecord)>,
}

/// Stores that only count their writes.
#[derive(Default)]
struct Model(BTreeMap<Provider, (u64, CurrentRecord)>);

impl Model {
    fn put(&mut self, at: Provider, expected: Option<u64>, record: CurrentRecord) -> bool {
        let found = self.0.get(&at).map(|(version, _)| *version);
        if found == expected {
            self.0.insert(at, (found.unwrap_or_default() + 1, record));
        }
        found == expected
    }

    /// The stores whose record says that the catalogue is there.
    fn homes(&self) -> Vec<Provider> {
        let is_home = |(provider, (_, record)): &(&Provider, &(u64, CurrentRecord))| {
            record.home.is_none_or(|home| home.to == **provider)
        };
        self.0.iter().filter(is_home).map(|(provider, _)| *provider).collect()
    }
}

/// Runs movers with three wishes, and importers, step by step in an order that `chance` gives, then the last wish to its end.
fn interleave(chance: &mut impl Rng) {
    let wishes = [to(1, AWAY), to(2, HOME), to(3, if chance.random() { AWAY } else { THIRD })];
    let first: CurrentRecord = serde_json::from_value(serde_json::json!({
        "format": 1, "number": 1, "key": "catalogue/versions/1", "products": 1, "bytes": 1, "sha256": "1",
    }))
    .expect("a record");
    let mut model = Model::default();
    model.put(HOME, None, first);
    let mut newest = 1;
    let mut movers: Vec<Mover> = (0..4).map(|_| Mover::default()).collect();
    let step = |model: &mut Model, mover: &mut Mover, wish: Switch, looks: bool| {
        if looks || mover.wish != Some(wish) {
            *mover = Mover { wish: Some(wish), found: model.0.clone() };
            return None;
        }
        let found = std::mem::take(&mut mover.found);
        mover.wish = None;
        match next_step(wish, &found.iter().map(|(provider, (_, record))| (*provider, record)).collect()) {
            Step::End(end) => Some(end),
            Step::Put { at, record, .. } => {
                model.put(at, found.get(&at).map(|(version, _)| *version), record);
                None
            }
        }
    };
    for turn in 0..200 {
        let wish = wishes[chance.random_range(0..=(turn / 70))];
        let mover = &mut movers[chance.random_range(0..4)];
        let wish = mover.wish.unwrap_or(wish);
        step(&mut model, mover, wish, false);
        let homes = model.homes();
        assert!(homes.len() <= 1, "{homes:?}: {:?}", model.0);
        if let ([home], true) = (&homes[..], chance.random_ratio(1, 4)) {
            let (version, record) = model.0[home].clone();
            newest += 1;
            let imported = CurrentRecord { number: newest, sha256: newest.to_string(), ..record };
            assert!(model.put(*home, Some(version), imported));
        }
    }
    let mut last = Mover::default();
    let end = (0..100).find_map(|_| step(&mut model, &mut last, wishes[2], false));
    assert_eq!(end, Some(CatalogueMove::Done), "{:?}", model.0);
    assert_eq!(model.homes(), [wishes[2].to]);
    assert_eq!(model.0[&wishes[2].to].1.number, newest, "what was imported last is there");
}

#[test]
fn however_movers_are_stopped_there_is_at_most_one_home_and_no_import_is_lost() {
    for seed in 0..5_000 {
        interleave(&mut StdRng::seed_from_u64(seed));
    }
}
