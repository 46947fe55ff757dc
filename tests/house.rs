//! The rules of the house, read from the sources. Each checker is first shown a small breach.
#![cfg(not(loom))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from left to right: each may name itself and what stands to its left.
const LAYERS: [&str; 11] = [
    "sync", "error", "plain", "sys", "shm", "layout", "ring", "wait", "queue", "session", "handle",
];

/// What stands to the left of `error` and is still none of its business.
const USES_NOTHING: [&str; 2] = ["sync", "error"];

/// Lines of code that a file may have, without comments and blank lines.
const MOST_LINES: usize = 400;

/// How far above an ordering its reason may stand.
const REACH: usize = 6;

struct Source {
    /// The path below `src`, with slashes.
    path: String,
    text: String,
    /// The same lines without comments, and with strings blanked out.
    code: Vec<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into(), code: code_of(text) }
    }

    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many modules deep it is: 1 for `error.rs` and `ring/mod.rs`, 2 for `ring/spsc.rs`.
    fn depth(&self) -> usize {
        self.path.split('/').filter(|part| *part != "mod.rs").count()
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{}: {what}", self.path, line + 1)
    }
}

/// Takes comments out of Rust source and blanks what is in strings, line by line.
fn code_of(text: &str) -> Vec<String> {
    enum In {
        Code,
        Text,
        Comment(usize),
    }
    let mut now = In::Code;
    let mut lines = Vec::new();
    for line in text.lines() {
        let chars: Vec<char> = line.chars().collect();
        let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
        let mut code = String::new();
        let mut i = 0;
        while i < chars.len() {
            let two = (at(i), at(i + 1));
            match now {
                In::Comment(depth) => match two {
                    ('*', '/') if depth == 1 => (now, i) = (In::Code, i + 2),
                    ('*', '/') => (now, i) = (In::Comment(depth - 1), i + 2),
                    ('/', '*') => (now, i) = (In::Comment(depth + 1), i + 2),
                    _ => i += 1,
                },
                In::Text => {
                    code.push(if at(i) == '"' { '"' } else { '_' });
                    match at(i) {
                        '\\' => i += 2,
                        '"' => (now, i) = (In::Code, i + 1),
                        _ => i += 1,
                    }
                }
                In::Code => match two {
                    ('/', '/') => break,
                    ('/', '*') => (now, i) = (In::Comment(1), i + 2),
                    ('\'', '\\') => {
                        let rest = chars.iter().skip(i + 3);
                        i += 4 + rest.take_while(|c| **c != '\'').count();
                    }
                    ('\'', _) if at(i + 2) == '\'' => i += 3,
                    (c, _) => {
                        code.push(c);
                        if c == '"' {
                            now = In::Text;
                        }
                        i += 1;
                    }
                },
            }
        }
        lines.push(code);
    }
    lines
}

/// The identifier that `text` begins with.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Where `name` stands as a word of its own.
fn has_word(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_') && word(&code[at..]) == name
    })
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

fn layering(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    if source.path == "lib.rs" {
        return breaches;
    }
    let Some(own) = layer_of(source.module()) else {
        return vec![source.at(0, "belongs to no layer that tests/house.rs knows")];
    };
    for (line, code) in source.code.iter().enumerate() {
        for (at, _) in code.match_indices("crate::") {
            let used = word(&code[at + "crate::".len()..]);
            let alone = USES_NOTHING.contains(&source.module()) && used != source.module();
            match layer_of(used) {
                Some(layer) if layer <= own && !alone => {}
                _ => breaches.push(source.at(line, &format!("may not use crate::{used}"))),
            }
        }
        let chain = (1..8).take_while(|n| code.contains(&"super::".repeat(*n))).count();
        if chain >= source.depth() && code.trim() != "use super::*;" {
            breaches.push(source.at(line, "leaves its module by super::"));
        }
    }
    breaches
}

fn length(source: &Source) -> Vec<String> {
    let lines = source.code.iter().filter(|code| !code.trim().is_empty()).count();
    let text = format!("{lines} lines of code, {MOST_LINES} are allowed");
    if lines > MOST_LINES { vec![source.at(0, &text)] } else { Vec::new() }
}

/// The labels for which a line is a site: `// ORDERING(label): ...`, not the mention of its partner.
fn label_of(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("// ORDERING(")?;
    rest.split_once("):").map(|(label, _)| label)
}

/// Whether a line of code orders memory, so that it needs a reason.
fn orders(code: &str) -> bool {
    ["Acquire", "Release", "AcqRel", "SeqCst"].iter().any(|name| has_word(code, name))
        || ["fence(", "light_fence(", "heavy_fence("].iter().any(|call| {
            code.match_indices(call).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        })
}

fn orderings(source: &Source) -> Vec<String> {
    if source.path == "sync.rs" || source.module() == "sys" {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let bare = source.code.iter().enumerate().filter(|(line, code)| {
        let above = &lines[line.saturating_sub(REACH)..*line];
        orders(code)
            && !code.trim().starts_with("use ")
            && !above.iter().any(|l| label_of(l).is_some())
    });
    bare.map(|(line, _)| source.at(line, "an ordering without // ORDERING(label): above")).collect()
}

/// How many sites each label has.
fn labels(sources: &[Source]) -> BTreeMap<String, usize> {
    let mut labels = BTreeMap::new();
    for label in sources.iter().flat_map(|s| s.text.lines()).filter_map(label_of) {
        *labels.entry(label.to_owned()).or_default() += 1;
    }
    labels
}

/// The labels in the first column of the table in `docs/ordering.md`.
fn documented(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`').map(|(label, _)| label.to_owned())).collect()
}

fn pairing(labels: &BTreeMap<String, usize>, documented: &BTreeSet<String>) -> Vec<String> {
    let lonely = labels.iter().filter(|(_, sites)| **sites < 2);
    let lonely =
        lonely.map(|(label, _)| format!("ORDERING({label}) has one site, so it pairs with none"));
    let missing = labels.keys().filter(|label| !documented.contains(*label));
    let missing = missing.map(|label| format!("ORDERING({label}) is not in docs/ordering.md"));
    let stale = documented.iter().filter(|label| !labels.contains_key(*label));
    let stale = stale.map(|label| format!("docs/ordering.md has {label}, which no source has"));
    lonely.chain(missing).chain(stale).collect()
}

fn atomics(source: &Source) -> Vec<String> {
    if source.path == "sync.rs" {
        return Vec::new();
    }
    let named = source.code.iter().enumerate().filter(|(_, code)| code.contains("sync::atomic"));
    named
        .map(|(line, _)| source.at(line, "names std's or loom's atomics: use crate::sync"))
        .collect()
}

fn unsafety(source: &Source) -> Vec<String> {
    let head = source.code.iter().map(|code| code.trim()).filter(|code| !code.is_empty());
    let mut head = head.take_while(|code| code.starts_with("#!["));
    if head.any(|code| code.starts_with("#![allow(unsafe_code, reason = ")) {
        return Vec::new();
    }
    let used = source.code.iter().enumerate().filter(|(_, code)| has_word(code, "unsafe"));
    used.map(|(line, _)| {
        source.at(line, "unsafe in a file that does not open with allow(unsafe_code)")
    })
    .collect()
}

/// Links of a page that lead to files: `[text](path)` and `[text]: path`.
fn links(page: &str) -> Vec<String> {
    let inline = page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(to, _)| to);
    let named = page.lines().filter(|line| line.starts_with('['));
    let named = named.filter_map(|line| line.split_once("]: ")).map(|(_, to)| to);
    let paths = inline.chain(named).filter(|to| !to.contains("://") && !to.starts_with('#'));
    paths.filter_map(|to| to.split('#').next()).map(str::to_owned).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &Path, suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            found.extend(files_below(&path, suffix));
        } else if path.to_str().is_some_and(|path| path.ends_with(suffix)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let files = files_below(&src, ".rs").into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a source is text");
        let below = path.strip_prefix(&src).expect("it is below src").to_str().expect("in ASCII");
        let below = &below.replace(std::path::MAIN_SEPARATOR, "/");
        Source::new(below, &text)
    });
    let files: Vec<Source> = files.collect();
    assert!(
        files.len() > 20,
        "only {} sources found: the checks would pass on nothing",
        files.len()
    );
    files
}

fn all_keep(rule: fn(&Source) -> Vec<String>) {
    let breaches: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn modules_use_only_what_stands_to_their_left() {
    all_keep(layering);
}

#[test]
fn no_file_is_too_long() {
    all_keep(length);
}

#[test]
fn every_ordering_says_why() {
    all_keep(orderings);
}

#[test]
fn every_ordering_label_pairs_and_is_documented() {
    let page = fs::read_to_string(root().join("docs/ordering.md")).expect("docs/ordering.md");
    let labels = labels(&sources());
    assert!(!labels.is_empty(), "no ORDERING comment found at all");
    let breaches = pairing(&labels, &documented(&page));
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn atomics_come_through_one_door() {
    all_keep(atomics);
}

#[test]
fn unsafe_is_opted_into_by_file() {
    all_keep(unsafety);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = files_below(&root().join("docs"), ".md");
    pages.extend(
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|p| root().join(p)),
    );
    let mut dead = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page is text");
        let base = page.parent().expect("a page is in a directory");
        let missing = links(&text).into_iter().filter(|to| !base.join(to).exists());
        dead.extend(missing.map(|to| format!("{}: {to}", page.display())));
    }
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

/// Each checker must be able to fail.
mod checkers {
    use super::*;

    fn breaches(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
        rule(&Source::new(path, text)).len()
    }

    #[test]
    fn code_is_told_from_comments_and_strings() {
        let text = "a // b\n/* c\nd */ e\n\"f // g\" h '\"' i\n'\\'' j 'k";
        let code = code_of(text);
        assert_eq!(code, ["a ", "", " e", "\"______\" h  i", " j 'k"]);
        assert_eq!(code_of("\"two\nlines\" x"), ["\"___", "_____\" x"]);
        assert_eq!(code_of("/* a /* b */ c */ d"), [" d"]);
    }

    #[test]
    fn a_use_to_the_right_is_found() {
        assert_eq!(breaches(layering, "ring/spsc.rs", "use crate::layout::Slots;"), 0);
        assert_eq!(breaches(layering, "ring/spsc.rs", "use crate::wait::Bell;"), 1);
        assert_eq!(breaches(layering, "ring/spsc.rs", "// use crate::wait::Bell;"), 0);
        assert_eq!(breaches(layering, "ring/spsc.rs", "fn f() { crate::queue::g() }"), 1);
        assert_eq!(breaches(layering, "queue/end.rs", "use crate::wait::Bell;"), 0);
        assert_eq!(breaches(layering, "queue/end.rs", "use crate::{sys, wait};"), 1);
        assert_eq!(breaches(layering, "error.rs", "use crate::sync::fence;"), 1);
        assert_eq!(breaches(layering, "layout/role.rs", "use super::super::wait::Bell;"), 1);
        assert_eq!(breaches(layering, "layout/role.rs", "use super::part::Side;"), 0);
        assert_eq!(breaches(layering, "attic/old.rs", ""), 1);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(breaches(length, "ring/long.rs", &"f();\n".repeat(MOST_LINES)), 0);
        assert_eq!(breaches(length, "ring/long.rs", &"f();\n".repeat(MOST_LINES + 1)), 1);
        assert_eq!(breaches(length, "ring/long.rs", &"// f();\n\n".repeat(MOST_LINES + 1)), 0);
    }

    #[test]
    fn an_ordering_without_a_reason_is_found() {
        let reason = "// ORDERING(x): Release. Pairs with ORDERING(x) there.\n";
        let store = "a.store(1, Ordering::Release);\n";
        assert_eq!(breaches(orderings, "ring/a.rs", store), 1);
        assert_eq!(breaches(orderings, "ring/a.rs", &format!("{reason}{store}")), 0);
        let far = format!("{reason}{}{store}", "\n".repeat(REACH));
        assert_eq!(breaches(orderings, "ring/a.rs", &far), 1);
        assert_eq!(breaches(orderings, "ring/a.rs", "fence(order);"), 1);
        assert_eq!(breaches(orderings, "ring/a.rs", "crate::sync::light_fence();"), 1);
        assert_eq!(breaches(orderings, "ring/a.rs", "sys::register_fence();"), 0);
        assert_eq!(breaches(orderings, "ring/a.rs", "a.store(1, Ordering::Relaxed);"), 0);
        assert_eq!(breaches(orderings, "sys/linux.rs", store), 0);
    }

    #[test]
    fn a_label_without_partner_or_page_is_found() {
        let one = [Source::new("ring/a.rs", "// ORDERING(x): Release. Pairs with ORDERING(x).\n")];
        let both = [Source::new("ring/a.rs", "// ORDERING(x): a\n// ORDERING(x): b\n")];
        let page = documented("| label | release |\n|---|---|\n| `x` | there |\n");
        assert_eq!(pairing(&labels(&both), &page).len(), 0);
        assert_eq!(pairing(&labels(&one), &page).len(), 1);
        assert_eq!(pairing(&labels(&both), &documented("")).len(), 1);
        assert_eq!(pairing(&BTreeMap::new(), &page).len(), 1);
    }

    #[test]
    fn a_second_door_is_found() {
        assert_eq!(breaches(atomics, "ring/a.rs", "use std::sync::atomic::AtomicBool;"), 1);
        assert_eq!(breaches(atomics, "ring/a.rs", "//! not std::sync::atomic"), 0);
        assert_eq!(breaches(atomics, "sync.rs", "use std::sync::atomic::AtomicU32;"), 0);
    }

    #[test]
    fn unasked_unsafe_is_found() {
        let asked = "//! Doc.\n#![allow(unsafe_code, reason = \"x\")]\n\nunsafe { f() }\n";
        let late = "//! Doc.\nuse x;\n#![allow(unsafe_code, reason = \"x\")]\nunsafe { f() }\n";
        assert_eq!(breaches(unsafety, "ring/a.rs", asked), 0);
        assert_eq!(breaches(unsafety, "ring/a.rs", late), 1);
        assert_eq!(breaches(unsafety, "ring/a.rs", "unsafe fn f() {}"), 1);
        assert_eq!(breaches(unsafety, "ring/a.rs", "// unsafe\nlet unsafe_code = 1;"), 0);
    }

    #[test]
    fn links_are_found() {
        let page = "see [a](docs/a.md#top) and [`b`] or [c](https://c.example)\n\n[`b`]: b.md\n";
        assert_eq!(links(page), ["docs/a.md", "b.md"]);
    }
}
