//! Which file of a crate uses which, read off their `use` lines and paths: [`circles`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module's path in its crate; the root's is empty.
type Module = Vec<String>;

/// The modules of a crate, each a file.
struct Files {
    text: BTreeMap<Module, String>,
    /// What a module passes on under a name of its own: where the name is looked up, and the path that it stands for.
    passed_on: BTreeMap<Module, (Module, Vec<String>)>,
}

/// The groups of files each of which uses every other, by way of others or at once; `src` is a crate's folder of sources. A
/// name that a module only passes on belongs to the file that it comes from. Tests are left out.
pub(crate) fn circles(src: &Path) -> Vec<Vec<String>> {
    let files = Files::read(src);
    let uses: BTreeMap<&Module, BTreeSet<Module>> =
        files.text.iter().map(|(module, text)| (module, files.used(module, text))).collect();
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        uses.keys().map(|module| (*module, reached(module, &uses))).collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (module, reached) in &reach {
        let circle: Vec<&Module> =
            reached.iter().copied().filter(|other| reach[*other].contains(*module)).collect();
        if circle.len() > 1 && seen.insert(circle.clone()) {
            circles.push(circle.into_iter().map(|module| module.join("::")).collect());
        }
    }
    circles
}

fn reached<'a>(from: &'a Module, uses: &'a BTreeMap<&Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let (mut found, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(module) = left.pop() {
        left.extend(uses[module].iter().filter(|next| found.insert(*next)));
    }
    found
}

impl Files {
    fn read(src: &Path) -> Self {
        let mut paths = Vec::new();
        crate::rust_files(src, &mut paths);
        let mut text = BTreeMap::new();
        for path in paths {
            let place = path.strip_prefix(src).expect("below the sources").with_extension("");
            let mut module: Module = place.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            module.retain(|part| !["mod", "lib"].contains(&part.as_str()));
            let is_aside = |part: &str| ["main", "tests", "samples"].contains(&part);
            if !module.iter().any(|part| is_aside(part)) {
                text.insert(module, code(&fs::read_to_string(&path).expect("a readable file")));
            }
        }
        let mut files = Self { text, passed_on: BTreeMap::new() };
        for (module, text) in files.text.clone() {
            for path in use_trees(&text)
                .into_iter()
                .filter(|(public, _)| *public)
                .flat_map(|(_, tree)| paths_of(&tree))
            {
                if let Some(name) = path.last() {
                    files
                        .passed_on
                        .insert([module.clone(), vec![name.clone()]].concat(), (module.clone(), path));
                }
            }
        }
        files
    }

    /// The modules that a module's text names things of.
    fn used(&self, module: &Module, text: &str) -> BTreeSet<Module> {
        let mut named: Vec<Vec<String>> = Vec::new();
        for (public, tree) in use_trees(text) {
            if !public {
                named.extend(paths_of(&tree));
            }
        }
        let is_of_a_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let statements = without_use_lines(text);
        let words = statements.split(|c: char| !is_of_a_path(c)).filter(|word| word.contains("::"));
        named.extend(words.map(|word| word.split("::").map(str::to_owned).collect()));
        let found = named.into_iter().filter_map(|path| self.home(module, &path, 0));
        found.filter(|home| home != module).collect()
    }

    /// The module in which what a path names is written; none for other crates.
    fn home(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut path = path;
        let mut at = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => from.clone(),
            child if self.text.contains_key(&[from.clone(), vec![child.to_owned()]].concat()) => {
                return self.descend(from.clone(), path, depth);
            }
            _ => return None,
        };
        while let Some("crate" | "self" | "super") = path.first().map(String::as_str) {
            if path[0] == "super" {
                at.pop();
            }
            path = &path[1..];
        }
        self.descend(at, path, depth)
    }

    fn descend(&self, mut at: Module, path: &[String], depth: usize) -> Option<Module> {
        for (index, part) in path.iter().enumerate() {
            let next = [at.clone(), vec![part.clone()]].concat();
            match self.passed_on.get(&next) {
                _ if self.text.contains_key(&next) => at = next,
                Some((module, stands_for)) if depth < 8 => {
                    return self.home(module, &[stands_for, &path[index + 1..]].concat(), depth + 1);
                }
                _ => break,
            }
        }
        self.text.contains_key(&at).then_some(at)
    }
}

/// A file without comments and the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The trees of `use` lines, and whether they pass on what they name.
fn use_trees(text: &str) -> Vec<(bool, String)> {
    let begins = |line: &str| {
        let line = line.trim_start();
        let rest = line
            .strip_prefix("pub(crate) ")
            .or(line.strip_prefix("pub(super) "))
            .or(line.strip_prefix("pub "));
        let tree = rest.unwrap_or(line).strip_prefix("use ")?;
        Some((rest.is_some(), tree.to_owned()))
    };
    let mut trees: Vec<(bool, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if open {
            if let Some((_, tree)) = trees.last_mut() {
                *tree += line;
            }
        } else if let Some(tree) = begins(line) {
            trees.push(tree);
        } else {
            continue;
        }
        open = !line.contains(';');
    }
    trees
        .into_iter()
        .map(|(public, tree)| (public, tree.split(';').next().unwrap_or_default().to_owned()))
        .collect()
}

/// What a file says but for its `use` lines.
fn without_use_lines(text: &str) -> String {
    let mut kept = String::new();
    let mut open = false;
    for line in text.lines() {
        open |= line.split_whitespace().take(2).any(|word| word == "use");
        if !open {
            kept += line;
            kept.push('\n');
        }
        open &= !line.contains(';');
    }
    kept
}

/// The paths of a tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths_of(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|part| part.trim().to_owned()).collect()];
    };
    let (mut depth, mut items) = (0, vec![String::new()]);
    for c in rest.trim_end_matches(['}', ' ']).chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match (c, items.last_mut()) {
            (',', _) if depth == 0 => items.push(String::new()),
            (c, Some(item)) => item.push(c),
            _ => {}
        }
    }
    let head: Vec<String> =
        head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items
        .flat_map(|item| {
            // A brace that was opened in the last item was closed by what was trimmed.
            let closed =
                format!("{item}{}", "}".repeat(item.matches('{').count() - item.matches('}').count()));
            paths_of(&closed)
        })
        .map(|path| [head.clone(), path].concat())
        .collect()
}

#[test]
fn trees_are_spelt_out() {
    let paths: Vec<String> =
        paths_of("crate::{a, b::{self, C}, d::E}").iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["crate::a", "crate::b::self", "crate::b::C", "crate::d::E"]);
    let text = "pub use a::B;\nuse super::{\n    c,\n    D,\n};\n";
    let trees: Vec<(bool, Vec<String>)> = use_trees(text)
        .into_iter()
        .map(|(public, tree)| (public, paths_of(&tree).iter().map(|path| path.join("::")).collect()))
        .collect();
    let expected =
        [(true, vec!["a::B".to_owned()]), (false, vec!["super::c".to_owned(), "super::D".to_owned()])];
    assert_eq!(trees, expected);
}

#[test]
fn a_circle_is_found_through_names_that_are_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("lib.rs", "mod a;\nmod b;\nmod c;\npub use c::C;\n");
    write("a.rs", "use crate::b;\n");
    write("b.rs", "fn f() -> crate::C {}\n");
    write(
        "c.rs",
        "use super::a::A; // use crate::nothing;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n",
    );
    assert_eq!(circles(folder.path()), [["a", "b", "c"]]);
    write("c.rs", "#[cfg(test)]\nmod tests {\n    use super::a::A;\n}\n");
    assert_eq!(circles(folder.path()), Vec::<Vec<String>>::new());
}
