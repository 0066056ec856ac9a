//! What the formats made of XML parts share.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart};

/// The value of the attribute of this name, in any name space.
pub(super) fn attribute(tag: &BytesStart, local: &str) -> Option<String> {
    let mut attributes = tag.attributes();
    let attributes = attributes.with_checks(false).flatten();
    for attribute in attributes {
        if attribute.key.local_name().as_ref() == local {
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
            return Some(value.into_owned());
        }
    }
    None
}

/// The text of `&amp;` or `&#8212;`; names that XML does not know are left out.
pub(super) fn reference(reference: &BytesRef) -> Option<char> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Some(c);
    }
    let name: &str = reference;
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}
