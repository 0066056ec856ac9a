//! Runs a template within bounds. The engine counts instructions and leaves memory to the template:
//! thirty doublings of a text fill any machine. So whatever makes a longer text or list out of others
//! is measured first, operators included, which are calls of functions of this module instead.
//!
//! What operators become is written into the compiled template, by interfaces of the engine that may
//! change with its next minor version; the manifest holds it to this one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::LazyLock;
use std::thread;

use minijinja::machinery::{CodeGenerator, Instruction, Instructions, Vm};
use minijinja::machinery::{Token, WhitespaceConfig, make_string_output, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{ChatError, NAME};
use crate::quiet::quietly;

/// The most bytes of one text that a template makes.
const MOST_BYTES: usize = 16 << 20;
/// The most bytes of all texts that it makes.
const MOST_IN_ALL: usize = 256 << 20;
/// The most items of a list, and the largest width.
const MOST_ITEMS: usize = 1 << 20;
/// The longest template, in bytes; those of models have up to some twenty thousand.
const LONGEST_SOURCE: usize = 128 << 10;
/// Instructions that a template may take; for some messages it takes thousands.
const FUEL: u64 = 1_000_000;
/// Bytes of its own text that a template may print again and again: about four instructions print a
/// piece of it, which is counted nowhere else.
const MOST_OWN_BYTES: u64 = 256 << 20;
const INSTRUCTIONS_A_PIECE: u64 = 4;
/// What values nested as deep as the instructions allow take to be shown and dropped; only what is
/// used becomes real memory.
const STACK_BYTES: usize = 512 << 20;

/// Names that no template can write, and so none can redefine.
const CONCAT: &str = " concat";
const ADD: &str = " add";
const MULTIPLY: &str = " multiply";

/// A filter that gives back what it is given.
const UNFOLDED: &str = "not_folded_";
/// As `transformers` sets the engine up.
const SPACES: WhitespaceConfig = WhitespaceConfig {
    keep_trailing_newline: false,
    lstrip_blocks: true,
    trim_blocks: true,
};

/// Filters that may make more of what they are given.
const FILTERS: [&str; 11] = [
    "replace", "join", "indent", "format", "escape", "e", "string", "pprint", "batch", "slice",
    "chain",
];

/// An environment as the engine makes it, for what is only measured here.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(Environment::new);

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(MOST_IN_ALL) };
}

/// Adds the measured operators, filters and methods to an environment.
pub fn bound(environment: &mut Environment<'static>) {
    // Errors would carry the template's values, to be dropped wherever the error is.
    environment.set_debug(false);
    environment.add_function(CONCAT, concat);
    environment.add_function(ADD, add);
    environment.add_function(MULTIPLY, multiply);
    environment.add_filter(UNFOLDED, |value: Value| value);
    for name in FILTERS {
        environment.add_filter(name, move |args: Rest<Value>| {
            predict(name, &args)?;
            measured(PLAIN.empty_state().apply_filter(name, &args)?)
        });
    }
    environment.set_unknown_method_callback(method);
    environment.set_formatter(|out, state, value| {
        charge(length(value)?)?;
        minijinja::escape_formatter(out, state, value)
    });
}

/// Instructions that a template of this source may take.
pub fn fuel(source: &str) -> u64 {
    let own = source.len().max(1) as u64;
    FUEL.min(MOST_OWN_BYTES * INSTRUCTIONS_A_PIECE / own)
}

/// A template's source as [`run`] takes it, if it can be compiled.
pub fn prepared(source: &str) -> Result<String, ChatError> {
    on_own_stack(|| {
        let source = unfolded(source)?;
        compiled(&source)?;
        Ok(source)
    })
}

/// The source with a filter that does nothing before each `*`: the compiler multiplies constants by
/// itself, a letter by a hundred million.
fn unfolded(source: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(source.len());
    let (mut done, mut after_value) = (0, false);
    for token in tokenize(source, false, syntax(), SPACES) {
        let (token, place) = token?;
        let at = place.start_offset as usize;
        // Elsewhere a star stands before what is spread out as arguments.
        if matches!(token, Token::Mul) && after_value {
            out.push_str(source.get(done..at).unwrap_or_default());
            out.push_str(&format!("|{UNFOLDED} "));
            done = at;
        }
        after_value = matches!(
            token,
            Token::Ident(_)
                | Token::Str(_)
                | Token::String(_)
                | Token::Int(_)
                | Token::Int128(_)
                | Token::Float(_)
                | Token::ParenClose
                | Token::BracketClose
                | Token::BraceClose
        );
    }
    out.push_str(source.get(done..).unwrap_or_default());
    Ok(out)
}

/// What a template makes of these values.
pub fn run(
    source: &str,
    environment: &Environment<'static>,
    values: Value,
) -> Result<String, ChatError> {
    on_own_stack(move || {
        LEFT.set(MOST_IN_ALL);
        let (mut instructions, mut blocks) = compiled(source)?;
        measure_operators(&mut instructions);
        blocks.values_mut().for_each(measure_operators);
        let mut out = String::new();
        let mut output = make_string_output(&mut out);
        let vm = Vm::new(environment);
        let ran = vm.eval(
            &instructions,
            values,
            &blocks,
            &mut output,
            AutoEscape::None,
        );
        ran.map(drop)?;
        Ok(out)
    })
}

type Compiled<'a> = (Instructions<'a>, BTreeMap<&'a str, Instructions<'a>>);

fn compiled(source: &str) -> Result<Compiled<'_>, Error> {
    if source.len() > LONGEST_SOURCE {
        let detail = format!("it is longer than {} KiB", LONGEST_SOURCE >> 10);
        return Err(Error::new(ErrorKind::SyntaxError, detail));
    }
    let template = parse(source, NAME, syntax(), SPACES)?;
    let mut code = CodeGenerator::new(NAME, source);
    code.compile_stmt(&template);
    Ok(code.finish())
}

/// Jinja's own marks.
fn syntax() -> SyntaxConfig {
    Default::default()
}

fn measure_operators(instructions: &mut Instructions<'_>) {
    for at in 0..u32::try_from(instructions.len()).unwrap_or(u32::MAX) {
        let Some(instruction) = instructions.get_mut(at) else {
            return;
        };
        let function = match instruction {
            Instruction::StringConcat => CONCAT,
            Instruction::Add => ADD,
            Instruction::Mul => MULTIPLY,
            _ => continue,
        };
        *instruction = Instruction::CallFunction(function, Some(2));
    }
}

/// Runs what may take much stack, up to the words for what went wrong: an error may hold on to the
/// template's values.
fn on_own_stack<T: Send>(run: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, ChatError> {
    let failed = || ChatError::Failed("it cannot be run here".to_owned());
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("chat template".to_owned())
            .stack_size(STACK_BYTES);
        let run = || quietly(|| run().map_err(|error| super::worded(&error)));
        let running = thread.spawn_scoped(scope, run).map_err(|_| failed())?;
        let ran = running.join().unwrap_or(Err(()));
        ran.unwrap_or_else(|()| Err(failed()))
    })
}

/// Refuses a text that has grown too long.
pub fn check_length(bytes: usize) -> Result<(), Error> {
    if bytes > MOST_BYTES {
        Err(too_large())
    } else {
        Ok(())
    }
}

fn too_large() -> Error {
    let detail = format!("a text grows beyond {} MiB", MOST_BYTES >> 20);
    Error::new(ErrorKind::InvalidOperation, detail)
}

/// Counts a text that is about to be made.
fn charge(bytes: usize) -> Result<(), Error> {
    check_length(bytes)?;
    let Some(left) = LEFT.get().checked_sub(bytes) else {
        let detail = format!("its texts take more than {} MiB", MOST_IN_ALL >> 20);
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    };
    LEFT.set(left);
    Ok(())
}

/// Counts what is written and stops what grows too long.
struct Measure(usize);

impl Write for Measure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        if self.0 > MOST_BYTES {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

/// Bytes of a value as text.
fn length(value: &Value) -> Result<usize, Error> {
    match value.as_str() {
        Some(text) => Ok(text.len()),
        None => length_of(format_args!("{value}")),
    }
}

fn length_of(text: fmt::Arguments<'_>) -> Result<usize, Error> {
    let mut measure = Measure(0);
    measure.write_fmt(text).map_err(|_| too_large())?;
    Ok(measure.0)
}

fn joined(parts: &[&Value]) -> Result<Value, Error> {
    let lengths = parts.iter().map(|part| length(part));
    charge(lengths.sum::<Result<usize, Error>>()?)?;
    let mut text = String::new();
    for part in parts {
        // A text takes whatever is written.
        let _ = write!(text, "{part}");
    }
    Ok(Value::from(text))
}

fn concat(a: &Value, b: &Value) -> Result<Value, Error> {
    joined(&[a, b])
}

fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    if a.as_str().is_some() && b.as_str().is_some() {
        return joined(&[a, b]);
    }
    calculated("a + b", a, b)
}

fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    for (of, times) in [(a, b), (b, a)] {
        let Some(times) = times.as_usize() else {
            continue;
        };
        let size = match of.as_str() {
            Some(text) => text.len(),
            None if is_list(of) => items(of)?,
            None => continue,
        };
        let whole = size.saturating_mul(times);
        if of.as_str().is_some() {
            charge(whole)?;
        } else if whole > MOST_ITEMS {
            return Err(too_many());
        }
    }
    calculated("a * b", a, b)
}

/// What the engine's own operator makes of two values, as long as it is no endless list.
fn calculated(operation: &str, a: &Value, b: &Value) -> Result<Value, Error> {
    if is_list(a) && is_list(b) && items(a)?.saturating_add(items(b)?) > MOST_ITEMS {
        return Err(too_many());
    }
    let operation = PLAIN.compile_expression(operation)?;
    operation.eval(context! { a, b })
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn too_many() -> Error {
    let detail = format!("a list grows beyond {MOST_ITEMS} items");
    Error::new(ErrorKind::InvalidOperation, detail)
}

/// Items of a list.
fn items(list: &Value) -> Result<usize, Error> {
    let count = match list.len() {
        Some(count) => count,
        None => list.try_iter()?.take(MOST_ITEMS + 1).count(),
    };
    if count > MOST_ITEMS {
        Err(too_many())
    } else {
        Ok(count)
    }
}

/// Refuses what a filter or method would make too much of.
fn predict(name: &str, args: &[Value]) -> Result<(), Error> {
    let text = |at: usize| args.get(at).and_then(Value::as_str).unwrap_or_default();
    let numbers = args.iter().filter(|arg| arg.kind() == ValueKind::Number);
    let widths = numbers.map(|number| number.as_usize().unwrap_or(0));
    let widest = widths.max().unwrap_or(0);
    if widest > MOST_ITEMS {
        return Err(too_large());
    }
    let bytes = match name {
        "replace" => {
            let (old, new) = (text(1), text(2));
            let found = text(0).matches(old).count();
            found
                .saturating_mul(new.len())
                .saturating_add(text(0).len())
        }
        "join" => match args {
            [list, rest @ ..] => {
                let between = rest.first().and_then(Value::as_str).unwrap_or_default();
                joined_length(list, between)?
            }
            [] => 0,
        },
        "indent" => {
            let options = args.iter().skip(1).map(length);
            let named = options.sum::<Result<usize, Error>>()?;
            let width = widest.max(widest_named(args)).max(4);
            let lines = text(0).lines().count() + 1;
            lines
                .saturating_mul(width)
                .saturating_add(text(0).len() + named)
        }
        "format" => formatted_length(text(0), &args[1.min(args.len())..], widest)?,
        "escape" | "e" => 6 * args.first().map_or(Ok(0), length)?,
        "pprint" => args
            .first()
            .map_or(Ok(0), |v| length_of(format_args!("{v:#?}")))?,
        "string" => args.first().map_or(Ok(0), length)?,
        "batch" | "slice" | "chain" => {
            let lists = args.iter().filter(|arg| is_list(arg)).map(items);
            let all = lists.sum::<Result<usize, Error>>()?;
            if all.saturating_add(widest) > MOST_ITEMS {
                return Err(too_many());
            }
            0
        }
        _ => 0,
    };
    charge(bytes)
}

/// The largest number among the named arguments.
fn widest_named(args: &[Value]) -> usize {
    let named = args.iter().filter(|arg| arg.is_kwargs());
    let width = named.filter_map(|arg| arg.get_attr("width").ok()?.as_usize());
    width.max().unwrap_or(0)
}

fn joined_length(list: &Value, between: &str) -> Result<usize, Error> {
    let mut bytes = 0_usize;
    for item in list.try_iter()? {
        bytes = bytes.saturating_add(length(&item)? + between.len());
        if bytes > MOST_BYTES {
            return Err(too_large());
        }
    }
    Ok(bytes)
}

/// More than what a text has once its places are filled in: at each the longest value, and as many
/// spaces as any of its numbers says.
fn formatted_length(format: &str, args: &[Value], widest: usize) -> Result<usize, Error> {
    let places = format.bytes().filter(|b| matches!(b, b'%' | b'{')).count();
    let lengths = args.iter().map(length).collect::<Result<Vec<_>, _>>()?;
    let longest = lengths.into_iter().max().unwrap_or(0);
    let numbers = format.split(|c: char| !c.is_ascii_digit());
    let widths = numbers.filter(|digits| !digits.is_empty());
    let widths = widths.map(|digits| digits.parse().unwrap_or(usize::MAX));
    let spaces = widths.fold(0, usize::saturating_add);
    let filled = places.saturating_mul(longest.saturating_add(widest));
    Ok(format.len().saturating_add(filled).saturating_add(spaces))
}

/// A text or list that was made, if it is not too large.
fn measured(made: Value) -> Result<Value, Error> {
    if let Some(text) = made.as_str() {
        charge(text.len())?;
    } else if is_list(&made) && made.len().is_some_and(|items| items > MOST_ITEMS) {
        return Err(too_many());
    }
    Ok(made)
}

/// Python's methods of texts, lists and maps.
fn method(state: &State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if value.as_str().is_some() {
        match name {
            // Every place between two letters; the engine counts for ever.
            "count" if args.first().is_some_and(|arg| arg.as_str() == Some("")) => {
                return Ok(Value::from(value.len().unwrap_or(0) + 1));
            }
            "join" => {
                let list = args.first().cloned().unwrap_or_default();
                predict(name, &[list, value.clone()])?;
            }
            _ => {
                let all = [std::slice::from_ref(value), args].concat();
                predict(name, &all)?;
            }
        }
    }
    measured(unknown_method_callback(state, value, name, args)?)
}
