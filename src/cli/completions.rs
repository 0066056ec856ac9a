//! `inscribe completions`: what shells complete.

use anyhow::Result;
use clap_complete::Shell;

use super::Context;
use super::out;

const EXAMPLES: &str = "\
Examples:
  inscribe completions bash > ~/.local/share/bash-completion/completions/inscribe
  inscribe completions zsh > ~/.zfunc/_inscribe        (with ~/.zfunc in fpath)
  inscribe completions fish > ~/.config/fish/completions/inscribe.fish
  inscribe completions powershell >> $PROFILE";

/// Print a script by which a shell completes verbs and options
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &Args, _: &Context) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "inscribe", &mut script);
    out::result(format_args!("{}", String::from_utf8_lossy(&script)));
    Ok(())
}
