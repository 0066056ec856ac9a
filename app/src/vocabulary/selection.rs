//! The screen and the place in the run that the person looks at.

/// The screens, one of which fills the window.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Screen {
    #[default]
    Welcome,
    /// The document beside its run.
    Write,
    Ask,
    Compare,
    Learn,
    Replay,
}

/// The parts of the Learn screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lesson {
    /// The walk through the method.
    #[default]
    Walk,
    /// Pairs written step by step.
    Bench,
    /// A model that is trained to be written to.
    Train,
}

/// The chosen chunk or token, the same in every view of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub segment: usize,
    /// Index of the chunk within its segment.
    pub chunk: Option<usize>,
    /// Index of the token within its segment.
    pub token: Option<usize>,
}

impl Selection {
    pub fn chunk(segment: usize, chunk: usize) -> Selection {
        Selection {
            segment,
            chunk: Some(chunk),
            token: None,
        }
    }
}
