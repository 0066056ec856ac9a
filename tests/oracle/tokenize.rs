//! Token ids of texts, for `check_tokenizers.py`: reads a JSON array of strings on standard input
//! and prints one of arrays of ids, by the tokenizer of a GGUF file or a folder with
//! `tokenizer.json`.

use std::io::Read as _;
use std::path::Path;

use inscribe::model::gguf::Gguf;
use inscribe::model::tokenizer::Tokenizer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("usage: tokenize FILE.gguf|FOLDER")?;
    let path = Path::new(&path);
    let tokenizer = if path.is_dir() {
        Tokenizer::from_folder(path)?
    } else {
        Tokenizer::from_gguf(&Gguf::open(path)?)?
    };
    let mut texts = String::new();
    std::io::stdin().read_to_string(&mut texts)?;
    let texts: Vec<String> = serde_json::from_str(&texts)?;
    let ids: Vec<Vec<u32>> = texts
        .iter()
        .map(|text| tokenizer.encode(text, false, false))
        .collect::<Result<_, _>>()?;
    println!("{}", serde_json::to_string(&ids)?);
    Ok(())
}
