//! An invented run with the shape of a real one, for tests of whatever shows runs.

use std::ops::Range;

use crate::memory::LoraConfig;

use super::event::{
    ChunkSteps, ChunkUtility, DocumentInfo, Done, EVENTS_VERSION, Evaluated, Event, ModelInfo,
    Phase, PhaseSeconds, Started, Step, StepKind, When,
};
use super::settings::{Allocate, WriteSettings};

/// Bytes of each invented token.
const BYTES: usize = 4;

/// What the invented run is like.
#[derive(Clone, Debug)]
pub struct Invented {
    pub name: String,
    pub tokens: usize,
    pub chunk: usize,
    /// The most tokens of a segment.
    pub context: usize,
    pub budget: usize,
    pub titles: bool,
    pub allocate: Allocate,
    /// Number of steps after which the run stops, if it stops early.
    pub stop_after: Option<usize>,
    pub seed: u64,
}

impl Default for Invented {
    fn default() -> Self {
        Invented {
            name: "harbour-report.md".to_owned(),
            tokens: 12_700,
            chunk: 1024,
            context: 32_768,
            budget: 48,
            titles: true,
            allocate: Allocate::Utility,
            stop_after: None,
            seed: 1,
        }
    }
}

const TITLES: [&str; 8] = [
    "Summary",
    "Über die Gezeiten: Messungen am Pegel Süd",
    "3.2 Methods, instruments and everything that went wrong with them between March and September",
    "Η παλίρροια και το φως",
    "Отчёт о ремонте северного мола",
    "Budget & <costs>",
    "潮汐と灯台の記録",
    "Appendix A",
];

/// Numbers that look random and are the same everywhere (Knuth's MMIX generator).
struct Noise(u64);

impl Noise {
    /// Evenly from -1 to 1.
    fn next(&mut self) -> f64 {
        let step = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = step.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// All events of the run, in order.
pub fn events(run: &Invented) -> Vec<Event> {
    let segments: Vec<usize> = parts(run.tokens, run.context).map(|r| r.len()).collect();
    let settings = WriteSettings {
        budget: run.budget,
        chunk: run.chunk,
        allocate: run.allocate,
        seed: run.seed,
        lora: LoraConfig::default(),
        ..WriteSettings::default()
    };
    let mut events = vec![Event::Started(Box::new(Started {
        version: EVENTS_VERSION,
        document: DocumentInfo {
            name: run.name.clone(),
            sha256: "5d0f".repeat(16),
            bytes: run.tokens * BYTES,
            tokens: run.tokens,
            pages: None,
        },
        model: ModelInfo {
            name: "SmolLM2-135M-Instruct.Q4_1".to_owned(),
            fingerprint: "b179c9523d0e".to_owned(),
            parameters: 134_515_008,
        },
        device: "CPU, 2 threads".to_owned(),
        settings,
        segments: segments.len(),
        unix_secs: 1_767_225_600,
    }))];
    let mut author = Author {
        run,
        noise: Noise(run.seed ^ 0x5eed),
        steps: 0,
        seconds: PhaseSeconds::default(),
    };
    for (segment, &tokens) in segments.iter().enumerate() {
        let budget = share(run.budget, segment, segments.len());
        author.segment(segment, tokens, budget, &mut events);
    }
    if run.stop_after.is_some_and(|last| last < author.steps) {
        return until_step(events, run.stop_after.unwrap_or(0));
    }
    events.push(Event::Checkpointed { step: author.steps });
    events.push(Event::Done(Done {
        steps: author.steps,
        seconds: author.seconds,
        peak_bytes: 412_000_000,
    }));
    events
}

/// The events as the lines of a file.
pub fn lines(events: &[Event]) -> String {
    let kept = events
        .iter()
        .filter(|e| !matches!(e, Event::Progress { .. }));
    let lines = kept.filter_map(|event| serde_json::to_string(event).ok());
    lines.map(|line| line + "\n").collect()
}

fn until_step(events: Vec<Event>, last: usize) -> Vec<Event> {
    let reached = |event: &Event| matches!(event, Event::Step(step) if step.step > last);
    let end = events.iter().position(reached).unwrap_or(events.len());
    events.into_iter().take(end).collect()
}

fn parts(tokens: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let most = most.max(1);
    (0..tokens.div_ceil(most)).map(move |i| i * most..tokens.min((i + 1) * most))
}

fn share(of: usize, index: usize, among: usize) -> usize {
    of * (index + 1) / among - of * index / among
}

struct Author<'a> {
    run: &'a Invented,
    noise: Noise,
    steps: usize,
    seconds: PhaseSeconds,
}

impl Author<'_> {
    fn segment(&mut self, segment: usize, tokens: usize, budget: usize, out: &mut Vec<Event>) {
        out.push(Event::SegmentStarted {
            segment,
            tokens,
            from: segment * self.run.context * BYTES,
            lengths: vec![BYTES as u32; tokens],
        });
        self.read(segment, tokens, out);
        let chunks = self.chunks(segment, tokens);
        let plan = plan(&chunks, budget, self.run.allocate);
        out.push(Event::Utility {
            segment,
            chunks: chunks.clone(),
        });
        out.push(Event::Allocated {
            segment,
            steps: plan.clone(),
        });
        let before: Vec<f64> = chunks.iter().map(|c| c.surprisal).collect();
        let after = before
            .iter()
            .zip(&plan)
            .enumerate()
            .map(|(at, (loss, steps))| {
                // Some get worse, as happens.
                let learnt = if at % 11 == 4 {
                    -0.02
                } else {
                    0.09 * f64::from(steps.total()).sqrt()
                };
                loss * (1.0 - learnt)
            });
        let after: Vec<f64> = after.collect();
        let seconds = tokens as f64 / 900.0;
        let evaluated = |when, losses| {
            Event::Evaluated(Evaluated {
                segment,
                when,
                seconds,
                held_out: vec![None; chunks.len()],
                losses,
                surprisal: vec![Some(2.5); tokens],
            })
        };
        out.push(evaluated(When::Before, before.clone()));
        self.steps(segment, &before, &plan, out);
        out.push(evaluated(When::After, after));
        self.seconds.evaluate += 2.0 * seconds;
        self.seconds.save += 0.4;
    }

    fn read(&mut self, segment: usize, tokens: usize, out: &mut Vec<Event>) {
        for (phase, rate) in [(Phase::Prefill, 410.0), (Phase::Local, 790.0)] {
            for done in (0..=tokens).step_by(512) {
                out.push(Event::Progress {
                    phase,
                    done,
                    total: tokens,
                });
            }
            let seconds = tokens as f64 / rate;
            // Nothing comes before the first token.
            let value = |at| (at > 0).then(|| (3.1 + 2.4 * self.noise.next()) as f32);
            let surprisal = (0..tokens).map(value).collect();
            out.push(match phase {
                Phase::Prefill => {
                    self.seconds.prefill += seconds;
                    Event::Prefilled {
                        segment,
                        tokens,
                        seconds,
                        surprisal,
                    }
                }
                _ => {
                    self.seconds.local += seconds;
                    Event::LocallyRead {
                        segment,
                        window: 256,
                        seconds,
                        surprisal,
                    }
                }
            });
        }
    }

    fn chunks(&mut self, segment: usize, tokens: usize) -> Vec<ChunkUtility> {
        let start = segment * self.run.context;
        let chunks = parts(tokens, self.run.chunk).enumerate().map(|(i, range)| {
            let wave = (i as f64 * 0.9).sin() * (i as f64 * 0.23 + 1.0).cos();
            let utility = 0.28 + 0.2 * wave * wave + 0.05 * (1.0 + self.noise.next());
            // Short context serves some chunks better than long context.
            let lean = 0.75 * (i as f64 * 1.7).sin() + 0.2;
            ChunkUtility {
                text: (start + range.start) * BYTES..(start + range.end) * BYTES,
                tokens: range,
                title: (self.run.titles && i % 4 != 3).then(|| TITLES[i % TITLES.len()].to_owned()),
                utility,
                signed: utility * lean,
                surprisal: 3.0 + 0.5 * self.noise.next() + 0.4 * wave,
            }
        });
        chunks.collect()
    }

    fn steps(&mut self, segment: usize, losses: &[f64], plan: &[ChunkSteps], out: &mut Vec<Event>) {
        let of = self.run.budget;
        for (chunk, steps) in plan.iter().enumerate() {
            for nth in 0..steps.total() {
                self.steps += 1;
                let seconds = 0.62 + 0.08 * self.noise.next();
                self.seconds.steps += seconds;
                let learnt = 1.0 - 0.09 * f64::from(nth).sqrt();
                let before = losses[chunk] + 0.25 * self.noise.next();
                out.push(Event::Step(Step {
                    segment,
                    chunk: (self.run.allocate != Allocate::Whole).then_some(chunk),
                    step: self.steps,
                    of,
                    kind: if nth < steps.coverage {
                        StepKind::Coverage
                    } else {
                        StepKind::Utility
                    },
                    loss: before * learnt,
                    before: Some(before),
                    grad_norm: 1.3 + 0.5 * self.noise.next(),
                    tokens: 256,
                    seconds,
                }));
            }
            out.push(Event::ChunkDone { segment, chunk });
            out.push(Event::Checkpointed { step: self.steps });
        }
    }
}

/// Coverage first, the rest to the chunks of high utility; exact in its sum.
fn plan(chunks: &[ChunkUtility], budget: usize, allocate: Allocate) -> Vec<ChunkSteps> {
    let mut steps = vec![ChunkSteps::default(); chunks.len()];
    let mut left = budget;
    for chunk in &mut steps {
        chunk.coverage = left.min(1) as u32;
        left -= chunk.coverage as usize;
    }
    while left > 0 && !chunks.is_empty() {
        // The chunk that is furthest below its share.
        let lack = |i: usize| chunks[i].utility.powi(3) / f64::from(steps[i].utility + 1);
        let most = (0..chunks.len()).max_by(|&a, &b| lack(a).total_cmp(&lack(b)));
        let even = (budget - left) % chunks.len();
        let next = match allocate {
            Allocate::Utility | Allocate::Signed | Allocate::Topk => most.unwrap_or(even),
            Allocate::Uniform | Allocate::Random | Allocate::Whole => even,
        };
        steps[next].utility += 1;
        left -= 1;
    }
    steps
}
