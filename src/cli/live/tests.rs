use std::time::{Duration, Instant};

use console::{measure_text_width, strip_ansi_codes};
use inscribe::write::event::{Event, Phase};
use inscribe::write::record::RunRecord;
use inscribe::write::settings::Allocate;
use inscribe::write::synthetic::{Invented, events};

use super::frame::{self, Clock};
use super::lines::Lines;
use crate::cli::terminal::{Colours, Look};

fn look(columns: usize, colours: Colours, unicode: bool) -> Look {
    Look {
        colours,
        unicode,
        columns,
    }
}

fn shapes() -> Vec<Invented> {
    let base = Invented::default();
    let of = |tokens, context, budget| Invented {
        tokens,
        context,
        budget,
        ..base.clone()
    };
    vec![
        of(700, 4096, 4),
        of(12_700, 32_768, 48),
        of(60_000, 8_192, 90),
        of(500_000, 1 << 20, 600),
        Invented {
            allocate: Allocate::Whole,
            name: "Ein sehr langer Name 潮汐と灯台の記録 ".repeat(6) + "\n\x1b[31m",
            ..base.clone()
        },
        of(12_700, 32_768, 0),
    ]
}

#[test]
fn every_drawing_fits_the_terminal_at_every_moment() {
    let looks = [
        (Colours::True, true),
        (Colours::Ansi256, true),
        (Colours::None, true),
        (Colours::True, false),
        (Colours::None, false),
    ];
    for invented in shapes() {
        let told = events(&invented);
        let mut run = RunRecord::default();
        let mut clock = Clock::new(Instant::now() - Duration::from_secs(3));
        for (at, event) in told.iter().enumerate() {
            clock.event(event, Instant::now());
            run.fold(event);
            if at % (told.len() / 40 + 1) != 0 && at + 1 != told.len() {
                continue;
            }
            for (colours, unicode) in looks {
                for (columns, rows) in [(10, 3), (40, 24), (80, 8), (200, 50)] {
                    let look = look(columns, colours, unicode);
                    let lines = frame::lines(&run, &clock, &look, rows);
                    assert!(!lines.is_empty() && lines.len() <= rows, "{lines:?}");
                    for line in &lines {
                        let plain = strip_ansi_codes(line);
                        assert!(measure_text_width(line) <= columns, "{columns}: {plain}");
                        assert!(!plain.contains(char::is_control), "{plain:?}");
                        assert!(unicode || plain.is_ascii(), "{plain:?}");
                        assert!(
                            colours != Colours::None || !line.contains('\x1b'),
                            "{line:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_view_tells_what_goes_on() {
    let told = events(&Invented {
        stop_after: Some(17),
        ..Invented::default()
    });
    let run = RunRecord::from_events(&told);
    let clock = Clock::new(Instant::now());
    let text = |columns| {
        let look = look(columns, Colours::None, true);
        frame::lines(&run, &clock, &look, 40).join("\n")
    };
    let wide = text(100);
    for part in [
        "harbour-report.md",
        "12,700 tokens",
        "Learning",
        "17 of 48",
        "35 %",
        "tokens/s",
        "left",
        "chunk 6: Budget",
    ] {
        assert!(wide.contains(part), "{part} in\n{wide}");
    }
    // Steps to come are drawn otherwise than those taken.
    assert!(wide.contains('░') && wide.contains('█'));
    let narrow = text(40);
    for part in ["17 of 48", "utility", "loss", "left"] {
        assert!(narrow.contains(part), "{part} in\n{narrow}");
    }
}

#[test]
fn a_phase_tells_its_own_pace() {
    let mut run = RunRecord::from_events(&events(&Invented::default())[..2]);
    let begin = Instant::now() - Duration::from_secs(10);
    let mut clock = Clock::new(begin);
    for (done, after) in [(0, 0), (4000, 10)] {
        let event = Event::Progress {
            phase: Phase::Prefill,
            done,
            total: 12_700,
        };
        clock.event(&event, begin + Duration::from_secs(after));
        run.fold(&event);
    }
    let look = look(100, Colours::None, true);
    let text = frame::lines(&run, &clock, &look, 40).join("\n");
    assert!(
        text.contains("Reading") && text.contains("4,000 of 12,700"),
        "{text}"
    );
    assert!(
        text.contains("400 tokens/s") || text.contains("399 tokens/s"),
        "{text}"
    );
    assert!(text.contains("22 s left of this"), "{text}");
}

#[test]
fn pipes_get_a_line_a_phase_and_some_for_the_steps() {
    let mut lines = Lines::default();
    let told = events(&Invented::default());
    let all: Vec<String> = told.iter().flat_map(|event| lines.event(event)).collect();
    assert!((12..=26).contains(&all.len()), "{all:#?}");
    assert!(all.iter().all(|line| !line.contains(char::is_control)));
    assert!(all[0].contains("harbour-report.md: 12,700 tokens"));
    assert!(all.iter().any(|l| l.starts_with("step 48 of 48")));
    assert!(
        all.last()
            .unwrap()
            .starts_with("done: 48 steps in 1 min 46 s"),
        "{all:#?}"
    );
    let resumed = lines.event(&Event::Resumed { step: 40 });
    assert_eq!(resumed, ["resumed after step 40 (8 taken again)"]);
    assert!(lines.event(&told[told.len() - 2]).is_empty());
}
