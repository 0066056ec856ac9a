//! A word on larger models, for those who took the default one.

use inscribe::model::elsewhere::hugging_face_cache;
use inscribe::model::hub::{DEFAULT, KNOWN, KnownModel, ModelCache, default_model, find_known};

use super::Context;
use super::progress::size;
use super::setup::Loaded;

/// More times slower than the default model is more than somebody who tries it out would wait.
const MOST_TIMES: u64 = 16;

/// Says which larger model would run here, and how much longer it would take.
pub fn larger_model(name: &str, loaded: &Loaded, app: &Context) {
    if name != DEFAULT || app.global.quiet {
        return;
    }
    let (cache, theirs) = (ModelCache::open().ok(), hugging_face_cache());
    let is_here = |model: &KnownModel| {
        let found = |cache| find_known(cache, theirs.as_deref(), model).is_some();
        cache.as_ref().is_some_and(found)
    };
    let free = loaded.device.available_bytes();
    let Some((model, times)) = free.and_then(|free| larger(free, is_here)) else {
        return;
    };
    let fetch = if is_here(model) {
        "it is here".to_owned()
    } else {
        format!("{} to fetch", size(model.bytes))
    };
    app.note(&format!(
        "larger models answer better: --model {} would fit this machine ({fetch}; about {times} times \
         as long)",
        model.name
    ));
}

/// The largest known model for which there is room, of those that are here if there are any, and how many
/// times as long it takes as the default one: all work is products with the weights.
fn larger(free: u64, is_here: impl Fn(&KnownModel) -> bool) -> Option<(&'static KnownModel, u64)> {
    let own = (default_model().config)().parameters().max(1);
    let fits = |model: &&KnownModel| model.suggested && model.memory_bytes() <= free;
    let timed = KNOWN.iter().filter(fits).map(|model| {
        let parameters = (model.config)().parameters();
        (model, (parameters + own / 2) / own)
    });
    let slower = timed.filter(|(_, times)| (2..=MOST_TIMES).contains(times));
    slower.max_by_key(|(model, times)| (is_here(model), *times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_model_is_named_where_it_fits() {
        let nowhere = |_: &KnownModel| false;
        assert!(larger(1 << 28, nowhere).is_none());
        let (model, times) = larger(64 << 30, nowhere).expect("one that fits");
        assert!(
            times >= 2 && model.name != DEFAULT,
            "{} {times}",
            model.name
        );
        let smaller = larger(model.memory_bytes() - 1, nowhere);
        let (smaller, fewer) = smaller.unwrap_or((model, times));
        assert!(fewer <= times, "{}", smaller.name);
        let (here, _) = larger(64 << 30, |model| model.name == "smollm2-360m-instruct").unwrap();
        assert_eq!(here.name, "smollm2-360m-instruct", "it need not be fetched");
    }
}
