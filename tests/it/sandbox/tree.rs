//! XML answers, by the paths of their leaves.

use std::collections::BTreeMap;

/// An XML answer, as its leaves by path: `imagesSet/item[0]/imageId`. `item` and `member` always
/// have an index, other names from their second on. The document's own element is not in paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree(pub BTreeMap<String, String>);

impl Tree {
    /// Reads a document; one that is no XML has no leaves.
    pub fn parse(body: &[u8]) -> Tree {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_reader(body);
        let mut leaves = BTreeMap::new();
        let mut path: Vec<(String, BTreeMap<String, usize>)> = Vec::new();
        let mut text = String::new();
        let leave = |path: &mut Vec<(String, BTreeMap<String, usize>)>,
                     leaves: &mut BTreeMap<String, String>,
                     text: &mut String| {
            let names: Vec<&str> = path.iter().skip(1).map(|(name, _)| &**name).collect();
            let is_leaf = path.last().is_some_and(|(_, seen)| seen.is_empty());
            if is_leaf && !names.is_empty() {
                leaves.insert(names.join("/"), text.clone());
            }
            path.pop();
            text.clear();
        };
        loop {
            match reader.read_event() {
                Ok(Event::Start(element)) => {
                    enter(&mut path, element.name().as_ref());
                    text.clear();
                }
                Ok(Event::Empty(element)) => {
                    enter(&mut path, element.name().as_ref());
                    text.clear();
                    leave(&mut path, &mut leaves, &mut text);
                }
                Ok(Event::Text(part)) => text.push_str(&part.decode().expect("text")),
                Ok(Event::GeneralRef(entity)) => text.push_str(&resolve(&entity)),
                Ok(Event::End(_)) => leave(&mut path, &mut leaves, &mut text),
                Ok(Event::Eof) | Err(_) => break,
                Ok(_) => {}
            }
        }
        Tree(leaves)
    }

    /// The text at a path; panics with the whole answer where there is none.
    #[track_caller]
    pub fn text(&self, path: &str) -> &str {
        self.get(path)
            .unwrap_or_else(|| panic!("no {path} in {:#?}", self.0))
    }

    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The items of a list, each with paths of its own.
    pub fn items(&self, list: &str) -> Vec<Tree> {
        let item = |index: usize| {
            let start = format!("{list}/item[{index}]/");
            let leaves = self.0.iter().filter_map(|(path, text)| {
                let rest = path.strip_prefix(&start)?;
                Some((rest.to_owned(), text.clone()))
            });
            Tree(leaves.collect())
        };
        (0..)
            .map(item)
            .take_while(|tree| !tree.0.is_empty())
            .collect()
    }

    /// Every text whose path ends so, in the order of the paths.
    pub fn all(&self, end: &str) -> Vec<&str> {
        let end = format!("/{end}");
        self.0
            .iter()
            .filter(|(path, _)| path.ends_with(&end))
            .map(|(_, text)| text.as_str())
            .collect()
    }
}

fn enter(path: &mut Vec<(String, BTreeMap<String, usize>)>, name: &[u8]) {
    let mut name = String::from_utf8_lossy(name).into_owned();
    if let Some((_, seen)) = path.last_mut() {
        let count = seen.entry(name.clone()).or_default();
        if *count > 0 || name == "item" || name == "member" {
            name = format!("{name}[{count}]");
        }
        *count += 1;
    }
    path.push((name, BTreeMap::new()));
}

fn resolve(entity: &quick_xml::events::BytesRef<'_>) -> String {
    if let Ok(Some(char)) = entity.resolve_char_ref() {
        return char.to_string();
    }
    match &*entity.decode().expect("text") {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        other => panic!("entity {other}"),
    }
    .to_owned()
}
