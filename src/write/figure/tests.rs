//! Figures of invented runs, held as XML: what is in them, and that all of it has room.

use roxmltree::{Document, Node};

use super::svg::Area;
use super::text::{self, Weight};
use super::*;
use crate::write::event::Event;
use crate::write::record::RunRecord;
use crate::write::settings::Allocate;
use crate::write::synthetic::{Invented, events};

/// Ascent and descent of a line of text, in parts of its size.
const ASCENT: f64 = 0.76;
const DESCENT: f64 = 0.22;

fn run(invented: &Invented) -> RunRecord {
    RunRecord::from_events(&events(invented))
}

/// Runs of every shape that a figure must take.
fn shapes() -> Vec<(&'static str, RunRecord)> {
    let base = Invented::default();
    let of = |tokens: usize, chunk: usize, budget: usize| Invented {
        tokens,
        chunk,
        budget,
        ..base.clone()
    };
    let mut long_name = of(5_000, 1024, 20);
    long_name.name = "Über die Gezeiten & <das Licht> — ".repeat(8) + "潮汐";
    let mut segments = of(60_000, 1024, 90);
    segments.context = 8_192;
    let mut stopped = of(12_700, 1024, 48);
    stopped.stop_after = Some(17);
    let mut whole = of(6_000, 1024, 30);
    whole.allocate = Allocate::Whole;
    let mut untitled = of(30_000, 512, 200);
    untitled.titles = false;
    let measured_only: Vec<Event> = events(&base)
        .into_iter()
        .take_while(|e| !matches!(e, Event::Step(_)))
        .collect();
    let mut many_segments = of(300_000, 256, 1500);
    many_segments.context = 2_048;
    vec![
        ("usual", run(&base)),
        ("one chunk", run(&of(700, 1024, 8))),
        ("one token", run(&of(1, 1024, 1))),
        ("two chunks", run(&of(1_500, 1024, 5))),
        ("long name", run(&long_name)),
        ("hundred chunks", run(&of(120_000, 1024, 400))),
        ("thousand chunks", run(&of(500_000, 512, 1200))),
        ("segments", run(&segments)),
        ("many segments", run(&many_segments)),
        ("stopped", run(&stopped)),
        ("whole document", run(&whole)),
        ("untitled", run(&untitled)),
        ("measured only", RunRecord::from_events(&measured_only)),
        ("budget below coverage", run(&of(12_700, 1024, 5))),
        ("no steps", run(&of(12_700, 1024, 0))),
    ]
}

fn number(node: Node<'_, '_>, name: &str) -> f64 {
    let value = node
        .attribute(name)
        .unwrap_or_else(|| panic!("{name} in {node:?}"));
    value
        .parse()
        .unwrap_or_else(|_| panic!("{name} of {node:?}"))
}

/// Where a text lies, from the figure's own font.
fn box_of(node: Node<'_, '_>) -> Area {
    let size = number(node, "font-size");
    let weight = match node.attribute("font-weight") {
        Some("600") => Weight::SemiBold,
        _ => Weight::Regular,
    };
    let width = text::width(node.text().unwrap_or_default(), size, weight);
    let x = number(node, "x");
    let left = match node.attribute("text-anchor") {
        Some("middle") => x - width / 2.0,
        Some("end") => x - width,
        _ => x,
    };
    Area::new(
        left,
        number(node, "y") - size * ASCENT,
        width,
        size * (ASCENT + DESCENT),
    )
}

fn overlap(a: &Area, b: &Area) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

/// Every text is inside the canvas and touches no other.
fn check_room(what: &str, svg: &str) {
    let document = Document::parse(svg).unwrap_or_else(|e| panic!("{what}: {e}"));
    let root = document.root_element();
    let view_box: Vec<f64> = root
        .attribute("viewBox")
        .unwrap()
        .split(' ')
        .map(|n| n.parse().unwrap())
        .collect();
    let texts: Vec<Node<'_, '_>> = document
        .descendants()
        .filter(|n| n.has_tag_name("text"))
        .collect();
    assert!(texts.len() >= 4, "{what}: hardly any text");
    let boxes: Vec<Area> = texts.iter().map(|n| box_of(*n)).collect();
    for (i, (node, place)) in texts.iter().zip(&boxes).enumerate() {
        let label = node.text().unwrap_or_default();
        let inside = place.x >= 0.0
            && place.y >= 0.0
            && place.right() <= view_box[2]
            && place.bottom() <= view_box[3];
        assert!(
            inside,
            "{what}: {label:?} leaves the canvas: {place:?} in {view_box:?}"
        );
        for (other, node) in boxes[i + 1..].iter().zip(&texts[i + 1..]) {
            let other_label = node.text().unwrap_or_default();
            assert!(
                !overlap(place, other),
                "{what}: {label:?} {place:?} lies on {other_label:?} {other:?}"
            );
        }
    }
    for node in document.descendants().filter(|n| n.has_tag_name("rect")) {
        assert!(number(node, "width") >= 0.0 && number(node, "height") >= 0.0);
        let (x, y) = (node.attribute("x"), node.attribute("y"));
        let at = |v: Option<&str>| v.map_or(0.0, |v| v.parse::<f64>().unwrap());
        let right = at(x) + number(node, "width");
        let bottom = at(y) + number(node, "height");
        assert!(
            right <= view_box[2] + 0.5 && bottom <= view_box[3] + 0.5,
            "{what}: {node:?}"
        );
        assert!(at(x) >= 0.0 && at(y) >= 0.0, "{what}: {node:?}");
    }
    // The font is in letters that mean nothing.
    let drawn = svg.rsplit("</style>").next().unwrap_or(svg);
    let odd = ["NaN", "inf"].iter().any(|odd| drawn.contains(odd));
    assert!(!odd, "{what}: numbers that are none");
}

#[test]
fn every_label_has_room_whatever_the_run_and_the_width() {
    for (what, run) in shapes() {
        for width in [320, 500, 900, 1280, 1920] {
            let options = FigureOptions {
                theme: Theme::Light,
                width: Some(width),
            };
            let figure = svg(&run, options).unwrap();
            check_room(&format!("{what} at {width}"), &figure);
        }
    }
}

#[test]
fn numbers_of_many_segments_are_told_at_even_distances() {
    let invented = Invented {
        tokens: 84_000,
        context: 2_048,
        budget: 60,
        ..Invented::default()
    };
    let run = run(&invented);
    let count = run.segments.len();
    assert!(count > 40, "{count}");
    let svg = svg(&run, FigureOptions::default()).unwrap();
    let document = Document::parse(&svg).unwrap();
    let texts = document.descendants().filter(|n| n.has_tag_name("text"));
    let told: Vec<usize> = texts.filter_map(|n| n.text()?.parse().ok()).collect();
    let is_there = |every: &usize| {
        let expected: Vec<usize> = (*every..=count).step_by(*every).collect();
        told.windows(expected.len()).any(|part| part == expected)
    };
    let every = [1, 2, 5].into_iter().find(is_there);
    assert!(every.is_some(), "{told:?} of {count}");
}

/// The rectangles of a part of the figure that have one of `fills`.
fn bars(document: &Document<'_>, part: &str, fills: &[&str]) -> Vec<Area> {
    let group = document
        .descendants()
        .find(|n| n.attribute("class") == Some(part))
        .unwrap();
    let rects = group.descendants().filter(|n| n.has_tag_name("rect"));
    let marks = rects.filter(|n| {
        let in_cell = n
            .parent()
            .and_then(|p| p.children().find(|c| c.has_tag_name("title")));
        let paint = n
            .attribute("fill")
            .filter(|f| *f != "none")
            .or(n.attribute("stroke"));
        in_cell.is_some() && (fills.is_empty() || paint.is_some_and(|f| fills.contains(&f)))
    });
    let area = |n: Node<'_, '_>| {
        Area::new(
            number(n, "x"),
            number(n, "y"),
            number(n, "width"),
            number(n, "height"),
        )
    };
    marks.map(area).collect()
}

#[test]
fn strips_and_bars_line_up_and_tell_the_numbers() {
    let run = run(&Invented::default());
    let figure = svg(&run, FigureOptions::default()).unwrap();
    let document = Document::parse(&figure).unwrap();
    let palette = Theme::Light.palette();
    let strip = bars(&document, "utility", &[]);
    let signed = bars(&document, "signed", &[]);
    assert_eq!((strip.len(), signed.len()), (13, 13));
    for (cell, sign) in strip.iter().zip(&signed) {
        assert_eq!((cell.x, cell.w), (sign.x, sign.w));
    }
    // The last chunk is shorter, and drawn so.
    let share = strip[12].w / strip[0].w;
    assert!((share - 412.0 / 1024.0).abs() < 0.05, "{share}");
    let coverage = bars(&document, "steps", &[palette.coverage]);
    let utility = bars(&document, "steps", &[palette.utility]);
    assert_eq!((coverage.len(), utility.len()), (13, 13));
    let unit = coverage[0].h;
    for (((_, chunk), bar), cell) in run.chunks().zip(&utility).zip(&strip) {
        let drawn = bar.h / unit;
        assert!(
            (drawn - f64::from(chunk.taken.utility)).abs() < 0.1,
            "{drawn} for {chunk:?}"
        );
        assert!(
            (bar.x + bar.w / 2.0 - cell.x - cell.w / 2.0).abs() < 0.1,
            "not under its chunk"
        );
    }
    // The chunk of highest utility is the brightest; the darkest colour is that of none.
    let scale = run.utility_scale().unwrap();
    let fills: Vec<String> = run
        .chunks()
        .map(|(_, c)| utility_colour(c.utility.unwrap(), scale).hex())
        .collect();
    assert!(fills.contains(&"#fde725".to_owned()) && !fills.contains(&"#440154".to_owned()));
    assert_eq!(utility_colour(0.0, scale).hex(), "#440154");
    assert!(fills.iter().all(|f| figure.contains(f)));
}

#[test]
fn planned_steps_are_told_from_taken_ones() {
    let invented = Invented {
        stop_after: Some(17),
        ..Invented::default()
    };
    let figure = svg(&run(&invented), FigureOptions::default()).unwrap();
    let document = Document::parse(&figure).unwrap();
    let steps = document
        .descendants()
        .find(|n| n.attribute("class") == Some("steps"))
        .unwrap();
    let hollow = |n: &Node<'_, '_>| n.has_tag_name("rect") && n.attribute("fill") == Some("none");
    let planned = steps.descendants().filter(hollow).count();
    // Two blocks of each chunk not reached, one or two of the one under way, and the legend's.
    assert!(planned >= 12, "{planned}");
    assert!(figure.contains("so far: step 17 of 48"));
    let whole = svg(&run(&Invented::default()), FigureOptions::default()).unwrap();
    assert!(!whole.contains("so far") && !whole.contains(">planned<"));
}

#[test]
fn the_curve_has_every_step() {
    for (steps, record) in [48, 1].map(|budget| {
        (
            budget,
            run(&Invented {
                budget,
                ..Invented::default()
            }),
        )
    }) {
        let figure = svg(&record, FigureOptions::default()).unwrap();
        let document = Document::parse(&figure).unwrap();
        let curve = document
            .descendants()
            .find(|n| n.attribute("class") == Some("curve"))
            .unwrap();
        let points = curve.descendants().filter(|n| n.has_tag_name("circle"));
        let points = points.filter(|n| n.parent().is_some_and(|p| !p.has_attribute("class")));
        assert_eq!(points.count(), steps);
        let lines = curve
            .descendants()
            .filter(|n| n.has_tag_name("polyline"))
            .count();
        assert_eq!(lines > 0, steps > 1);
    }
}

#[test]
fn names_from_documents_cannot_break_the_figure() {
    let invented = Invented {
        name: "</svg><script>alert(1)</script>\u{0}\u{1b}\"'&".to_owned(),
        ..Invented::default()
    };
    let run = run(&invented);
    let figure = svg(&run, FigureOptions::default()).unwrap();
    let document = Document::parse(&figure).unwrap();
    assert!(document.descendants().all(|n| !n.has_tag_name("script")));
    let page = html(&run, FigureOptions::default()).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
}

#[test]
fn pages_stand_alone() {
    for (what, run) in shapes() {
        for theme in [Theme::Light, Theme::Dark] {
            let options = FigureOptions { theme, width: None };
            let page = html(&run, options).unwrap();
            let links = [
                "src=", "href=", "@import", "url(http", "url(/", "<script", "<link",
            ];
            assert!(
                links.iter().all(|l| !page.contains(l)),
                "{what} reaches out"
            );
            assert!(page.matches("<tr>").count() > 5, "{what}");
            for figure in page.split("<svg ").skip(1) {
                let end = figure.find("</svg>").unwrap();
                let svg = format!("<svg {}</svg>", &figure[..end]);
                check_room(what, &svg);
            }
            let background = theme.palette().background;
            assert!(page.contains(&format!("background: {background}")));
        }
    }
}

#[test]
fn pictures_show_their_text() {
    let run = run(&Invented {
        name: "Tidelands".to_owned(),
        ..Invented::default()
    });
    let ink = |name: &str| {
        let run = RunRecord {
            document: run.document.clone().map(|mut d| {
                d.name = name.to_owned();
                d
            }),
            ..run.clone()
        };
        let options = FigureOptions {
            theme: Theme::Dark,
            width: Some(1280),
        };
        let bytes = png(&run, options).unwrap();
        let picture = resvg::tiny_skia::Pixmap::decode_png(&bytes).unwrap();
        assert_eq!(picture.width(), 1280);
        // The title's band.
        let rows = picture.pixels().chunks(1280).skip(34).take(34);
        rows.flatten().filter(|p| p.red() > 180).count()
    };
    let (one, other) = (ink("i"), ink("Tidelands, measured"));
    assert!(
        one > 5 && other > 8 * one,
        "{one} and {other} bright pixels"
    );
}

#[test]
fn what_cannot_be_drawn_is_said() {
    let nothing = RunRecord::from_events(&events(&Invented::default())[..1]);
    let error = svg(&nothing, FigureOptions::default()).unwrap_err();
    assert!(matches!(error, FigureError::NothingYet));
    let options = FigureOptions {
        width: Some(20),
        ..FigureOptions::default()
    };
    let error = png(&run(&Invented::default()), options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "figures are 320 to 8192 pixels wide, not 20"
    );
    assert_eq!(FigureKind::of_ending("PNG"), Some(FigureKind::Png));
    assert_eq!(FigureKind::of_ending("pdf"), None);
}

#[test]
fn losses_that_are_no_numbers_leave_the_figure_whole() {
    let mut events = events(&Invented::default());
    for event in &mut events {
        match event {
            Event::Step(step) if step.step % 5 == 0 => step.loss = f64::NAN,
            Event::Utility { chunks, .. } => {
                chunks[2].utility = f64::INFINITY;
                chunks[3].signed = f64::NAN;
            }
            Event::Evaluated(evaluated) => evaluated.losses[1] = f64::NAN,
            _ => {}
        }
    }
    let figure = svg(&RunRecord::from_events(&events), FigureOptions::default()).unwrap();
    check_room("no numbers", &figure);
}

#[test]
fn the_largest_numbers_that_are_read_are_drawn() {
    let mut told = events(&Invented::default());
    for event in &mut told {
        match event {
            Event::Step(step) => (step.tokens, step.of) = (1 << 40, 1 << 40),
            Event::Allocated { steps, .. } => steps.iter_mut().for_each(|steps| {
                (steps.coverage, steps.utility) = (1 << 24, 1 << 24);
            }),
            _ => {}
        }
    }
    let run = RunRecord::from_events(&told);
    assert!(run.steps_to_take() >= 1 << 40);
    svg(&run, FigureOptions::default()).unwrap();
}
