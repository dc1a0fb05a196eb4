//! Made-up repositories that are dense with everything that makes resolution hard.

use super::worlds::Random;

/// A made-up repository, dense with everything that makes resolution hard.
pub struct Toy {
    lines: Vec<Vec<String>>,
    world: Vec<String>,
}

impl Toy {
    pub fn new(random: &mut Random) -> Toy {
        let names: Vec<String> = (0..4 + random.below(8)).map(|n| format!("p{n}")).collect();
        let virtuals: Vec<String> = (0..1 + random.below(4)).map(|n| format!("v{n}")).collect();
        let all: Vec<String> = names.iter().chain(&virtuals).cloned().collect();
        let repositories = 1 + random.below(3);
        let mut lines = vec![Vec::new(); repositories];
        for name in &names {
            for version in 1..2 + random.below(3) {
                let line = Toy::package(random, name, version, &all, &virtuals);
                lines[random.below(repositories)].push(line.clone());
                if random.one_in(8) {
                    let other = random.below(repositories);
                    if !lines[other].contains(&line) {
                        lines[other].push(line);
                    }
                }
            }
        }
        let mut wanted: Vec<&String> = Vec::new();
        for _ in 0..1 + random.below(4) {
            let name = random.pick(&all);
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        let mut world = Vec::new();
        for name in wanted {
            world.push(match random.below(10) {
                0 => format!("!{name}"),
                1 | 2 => Toy::constrained(random, name),
                3 if repositories > 1 => format!("{name}@tag"),
                _ => name.clone(),
            });
        }
        Toy { lines, world }
    }

    pub fn constrained(random: &mut Random, name: &str) -> String {
        let operator = random.pick(&["=", "<", ">", ">=", "<=", "~"]);
        format!("{name}{operator}{}", 1 + random.below(3))
    }

    pub fn package(
        random: &mut Random,
        name: &str,
        version: usize,
        all: &[String],
        virtuals: &[String],
    ) -> String {
        let mut line = format!("{name}-{version}");
        let own_provides: Vec<&String> = virtuals.iter().filter(|_| random.one_in(4)).collect();
        let others: Vec<&String> = all
            .iter()
            .filter(|other| *other != name && !own_provides.contains(other))
            .collect();
        let mut needs = Vec::new();
        for other in &others {
            if random.one_in(8) {
                needs.push(match random.below(8) {
                    0 => format!("!{other}"),
                    1 | 2 => Toy::constrained(random, other),
                    _ => (*other).clone(),
                });
            }
        }
        if !needs.is_empty() {
            line += &format!(" needs {}", needs.join(" "));
        }
        let provides: Vec<String> = own_provides
            .into_iter()
            .map(|provided| match random.one_in(2) {
                true => format!("{provided}={}", 1 + random.below(3)),
                false => provided.clone(),
            })
            .collect();
        if !provides.is_empty() {
            line += &format!("; provides {}", provides.join(" "));
        }
        if random.one_in(4) {
            let conditions: Vec<String> = (0..1 + random.below(2))
                .map(|_| (*random.pick(&others)).clone())
                .collect();
            line += &format!("; with {}", conditions.join(" "));
        }
        if random.one_in(4) {
            line += &format!("; priority {}", 1 + random.below(3));
        }
        line
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for (number, lines) in self.lines.iter().enumerate() {
            text += &format!(
                "repository r{number}{}\n",
                if number > 0 && number == self.lines.len() - 1 {
                    " @tag"
                } else {
                    ""
                }
            );
            for line in lines {
                text += &format!("  {line}\n");
            }
        }
        format!("{text}rules 2.12\nworld {}\nfails\n", self.world.join(" "))
    }
}
