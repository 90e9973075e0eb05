import Foundation

/// The repository's own rules, each a function from files to what is wrong with them, so that each can be shown a bad file.
enum Rules {
    typealias File = Repository.File

    // MARK: Imports

    /// What each target may import, Swift's own libraries aside. Sources: the arrows of DESIGN, as ARCHITECTURE.md draws them.
    static let imports: [String: Set<String>] = [
        "Addressing": [],
        "Engine": ["CLiburing", "CLinux", "Addressing"],
        "Routing": ["Addressing"],
        "DNS": ["Routing", "Addressing"],
        "Forwarding": ["DNS", "Engine", "Routing", "Addressing"],
        "ServiceModel": ["Addressing"],
        "ControlPlane": ["ServiceModel", "Routing", "Addressing"],
        "ObjectSources": ["ServiceModel", "CLinux", "Yams"],
        "HostNetwork": ["CLinux", "Addressing"],
        "StateStore": ["ControlPlane", "Addressing", "GRDB"],
        "Probing": ["Routing", "Addressing", "NIOCore", "NIOPosix"],
        "AdminServer": [
            "Addressing", "ControlPlane", "DNS", "Forwarding", "Routing", "Hummingbird", "HummingbirdCore", "Logging", "NIOCore",
            "NIOHTTP1", "NIOPosix", "FoundationEssentials",
        ],
        "CLI": [
            "AdminServer", "Addressing", "CAllocationCounter", "ControlPlane", "DNS", "Engine", "Forwarding", "HostNetwork",
            "ObjectSources",
            "Probing", "Routing", "ServiceModel", "StateStore", "ArgumentParser", "Dispatch", "Logging", "ServiceLifecycle",
        ],
    ]
    /// The C library and what comes with the language; no Foundation, which is large and starts slowly.
    static let importsOfAll: Set<String> = ["Glibc", "Musl", "Synchronization"]
    static let targetsWithoutSwift: Set<String> = ["CAllocationCounter", "CLiburing", "CLinux"]

    static func forbiddenImports(_ files: [File]) -> [String] {
        var findings: [String] = []
        for file in files where file.isSwift && file.path.hasPrefix("Sources/") {
            guard let target = file.target, let allowed = imports[target] else {
                findings.append("\(file.path): its target is not in the list of imports")
                continue
            }
            for module in importedModules(file) where !allowed.union(importsOfAll).contains(module) {
                findings.append("\(file.path): \(target) may not import \(module)")
            }
        }
        return findings
    }

    static func importedModules(_ file: File) -> [String] {
        codeOnly(file.text).compactMap { line in
            let words = line.split(separator: " ")
            guard let index = words.firstIndex(of: "import"), index + 1 < words.count else { return nil }
            guard words[..<index].allSatisfy({ $0.hasPrefix("@") || accessLevels.contains($0) }) else { return nil }
            // `import struct Module.Name` names the module in its third word.
            let isKind = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"].contains(words[index + 1])
            let name = isKind && index + 2 < words.count ? words[index + 2] : words[index + 1]
            return String(name.split(separator: ".")[0])
        }
    }

    private static let accessLevels: [Substring] = ["public", "package", "internal", "fileprivate", "private"]

    // MARK: Unsafe code

    /// Folders and files where memory and descriptors are handled by hand; a review starts there.
    static let unsafePlaces = [
        "Sources/Engine/Drivers/", "Sources/Engine/Memory/", "Sources/Engine/Sockets/", "Sources/Engine/Threads/",
        "Sources/HostNetwork/Kernel/", "Sources/ObjectSources/Manifests/Files.swift", "Sources/StateStore/DirectoryLock.swift",
        "Sources/CLI/Host.swift", "Tests/",
        "Benchmarks/Sources/Load/Sockets/", "Benchmarks/Tests/",
    ]

    static func unsafeElsewhere(_ files: [File]) -> [String] {
        findings(in: files.filter { file in file.isSwift && !unsafePlaces.contains { file.path.hasPrefix($0) } }) { line in
            let words = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
            guard words.contains(where: { $0 == "unsafe" || $0.hasPrefix("Unsafe") }) else { return nil }
            return "unsafe code outside the places for it"
        }
    }

    /// What the compiler is asked to take on trust carries a reason, on one of the lines above it.
    static func unexplainedTrust(_ files: [File]) -> [String] {
        var findings: [String] = []
        for file in files where file.isSwift {
            let lines = file.lines
            for (index, code) in codeOnly(file.text).enumerated() {
                guard code.contains("@unchecked Sendable") || code.contains("nonisolated(unsafe)") else { continue }
                let above = lines[max(0, index - 6)..<index]
                if !above.contains(where: { $0.contains("// Safety:") }) {
                    findings.append("\(file.path):\(index + 1): no `// Safety:` line says why this is safe")
                }
            }
        }
        return findings
    }

    // MARK: Size and shape

    static let fileLinesMax = 600
    static let lineColumnsMax = 140
    static let linuxShimLinesMax = 200

    static func longFiles(_ files: [File]) -> [String] {
        files.filter { $0.isSwift && $0.lines.count > fileLinesMax + 1 }.map { "\($0.path): more than \(fileLinesMax) lines" }
    }

    static func longLines(_ files: [File]) -> [String] {
        var findings: [String] = []
        // The report is written by the harness, and nobody edits it.
        for file in files where isOurText(file) && file.path != "Benchmarks/REPORT.md" {
            for (index, line) in file.lines.enumerated() where line.count > lineColumnsMax {
                // A table row and a link can't be broken.
                if file.path.hasSuffix(".md"), line.hasPrefix("|") || line.contains("](http") { continue }
                findings.append("\(file.path):\(index + 1): \(line.count) columns, more than \(lineColumnsMax)")
            }
        }
        return findings
    }

    private static func isOurText(_ file: File) -> Bool {
        [".swift", ".c", ".h", ".md", ".yaml"].contains { file.path.hasSuffix($0) } || file.path.hasPrefix("Scripts/")
    }

    static func trailingSpace(_ files: [File]) -> [String] {
        var findings: [String] = []
        for file in files where isOurText(file) {
            for (index, line) in file.lines.enumerated() where line.last?.isWhitespace == true {
                findings.append("\(file.path):\(index + 1): white space at the end of the line")
            }
            if !file.text.isEmpty, !file.text.hasSuffix("\n") || file.text.hasSuffix("\n\n") {
                findings.append("\(file.path): must end with one line end")
            }
        }
        return findings
    }

    /// The C shims hold what Swift can't import: macros, constants, one call. A branch or a loop is logic.
    static func logicInShims(_ files: [File]) -> [String] {
        let shims = files.filter { $0.path.hasPrefix("Sources/CLinux/") || $0.path.hasPrefix("Sources/CLiburing/") }
        var findings: [String] = []
        if shims.reduce(0, { $0 + $1.lines.count }) > linuxShimLinesMax {
            findings.append("Sources/CLinux and Sources/CLiburing: more than \(linuxShimLinesMax) lines")
        }
        findings += self.findings(in: shims) { line in
            let words = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" && $0 != "#" }
            guard let word = words.first(where: { ["if", "for", "while", "switch", "goto", "do"].contains($0) }) else { return nil }
            return "`\(word)` is logic, which belongs in Swift"
        }
        return findings
    }

    // MARK: Words

    static func leftovers(_ files: [File]) -> [String] {
        var findings: [String] = []
        for file in files where !isAboutTheRules(file) {
            for (index, line) in file.lines.enumerated() {
                if line.contains("FIXME") { findings.append("\(file.path):\(index + 1): FIXME may not land") }
                if let todo = line.range(of: "TODO") {
                    let rest = line[todo.upperBound...]
                    // TODO(#12): what and why
                    if !rest.hasPrefix("(#") || rest.dropFirst(2).first?.isNumber != true {
                        findings.append("\(file.path):\(index + 1): TODO without the number of an issue")
                    }
                }
            }
        }
        return findings
    }

    /// Top-level folders where people and machines keep their own: nothing below them is the same elsewhere.
    static let machineFolders = ["home", "opt", "root", "work"]

    static func machinePaths(_ files: [File]) -> [String] {
        var findings: [String] = []
        for file in files where !isAboutTheRules(file) {
            for (index, line) in file.lines.enumerated() {
                for path in machineFolders.map({ "/\($0)/" }) where line.contains(path) {
                    findings.append("\(file.path):\(index + 1): \(path) is a path of somebody's machine")
                }
            }
        }
        return findings
    }

    /// The files that must name what they forbid.
    private static func isAboutTheRules(_ file: File) -> Bool { file.path.hasPrefix("Tests/TidyTests/") }

    // MARK: Folders

    static let topLevel: Set<String> = [
        ".ci", ".gitignore", ".swift-format", "ARCHITECTURE.md", "Benchmarks", "Config", "LICENSE", "Package.swift", "README.md", "Scripts",
        "Sources", "Tests",
    ]
    /// Names that say nothing about what is inside.
    static let emptyNames = ["Utils", "Utilities", "Helpers", "Common", "Manager", "Managers", "Misc", "Shared", "Extensions", "New"]

    static func strangersAtTheTop(_ files: [File]) -> [String] {
        Set(files.compactMap { $0.path.split(separator: "/").first.map(String.init) }).subtracting(topLevel).sorted()
            .map { "\($0): the top level holds only \(topLevel.sorted().joined(separator: ", "))" }
    }

    static func emptyFolderNames(_ files: [File]) -> [String] {
        Set(
            files.flatMap { file in
                file.path.split(separator: "/").dropLast().filter { emptyNames.contains(String($0)) }.map {
                    "\(file.path): a folder named \($0)"
                }
            }
        ).sorted()
    }

    // MARK: Documents

    /// Scripts and Config files that a document names must be there; scripts can be run.
    static func brokenReferences(_ document: File, paths: Set<String>, isExecutable: (String) -> Bool) -> [String] {
        var findings: [String] = []
        for reference in references(document, folders: ["Scripts/", "Config/", "Benchmarks/", ".ci/"]) {
            let isFolder = paths.contains { $0.hasPrefix(reference.hasSuffix("/") ? reference : reference + "/") }
            if !paths.contains(reference), !isFolder {
                findings.append("\(document.path): \(reference) does not exist")
            } else if reference.hasPrefix("Scripts/"), !isFolder, !isExecutable(reference) {
                findings.append("\(document.path): \(reference) can't be executed")
            }
        }
        return findings
    }

    static func references(_ document: File, folders: [String]) -> [String] {
        let words = document.text.split { !($0.isLetter || $0.isNumber || "/._-".contains($0)) }
        return Set(words.filter { word in folders.contains { word.hasPrefix($0) && word.count > $0.count } })
            .map { $0.last == "." ? String($0.dropLast()) : String($0) }.sorted()
    }

    /// Samples that neither the README names nor a tutorial among them links.
    static func unnamedConfig(_ files: [File], readme: File, tutorials: [File]) -> [String] {
        let linked = tutorials.flatMap { tutorial in
            let folder = tutorial.path.split(separator: "/").dropLast().joined(separator: "/")
            return tutorial.text.components(separatedBy: "](").dropFirst().map { "\(folder)/\($0.prefix { $0 != ")" })" }
        }
        let named = Set(references(readme, folders: ["Config/"]) + linked)
        return files.map(\.path).filter { $0.hasPrefix("Config/") && !named.contains($0) }
            .map { "neither README.md nor \(tutorials.map(\.path).joined(separator: " nor ")) names \($0)" }
    }

    /// YAML and configuration (```conf) that a tutorial shows and no file holds: each block is a file beside it, without the lines of
    /// comment at its top.
    static func unheldBlocks(_ tutorial: File, samples: [File]) -> [String] {
        let held = Set(samples.map { $0.text.split(separator: "\n").drop { $0.hasPrefix("#") }.joined(separator: "\n") })
        let blocks = ["```yaml\n", "```conf\n"].flatMap { fence in
            tutorial.text.components(separatedBy: fence).dropFirst().map { $0.components(separatedBy: "\n```")[0] }
        }
        return blocks.filter { !held.contains($0) }.map { "\(tutorial.path): no file is\n\($0)" }
    }

    /// The program's list of annotations and the manual's table of them must be the same.
    static func annotationsThatDiffer(list: File, readme: File) -> [String] {
        func names(_ lines: [Substring], _ quote: Character) -> Set<Substring> {
            Set(lines.flatMap { $0.split(separator: quote) }.filter { $0.hasPrefix("ringway.dev/") && $0.count > "ringway.dev/".count })
        }
        let known = names(list.lines, "\"")
        let shown = names(readme.lines.filter { $0.hasPrefix("| `ringway.dev/") }, "`")
        return known.subtracting(shown).sorted().map { "README.md has no row for \($0)" }
            + shown.subtracting(known).sorted().map { "README.md has a row for \($0), which the program does not know" }
    }

    /// Words for a close that the README's table has not, or that the program never says.
    static func closeReasonsThatDiffer(list: File, readme: File) -> [String] {
        let known = Set(list.lines.filter { $0.contains("case .") }.compactMap { $0.split(separator: "\"").dropFirst().first })
        let rows = readme.lines.drop { !$0.hasPrefix("| reason |") }.dropFirst(2).prefix { $0.hasPrefix("|") }
        let shown = Set(
            rows.flatMap { row in
                let cell: Substring = row.split(separator: "|").first ?? ""
                return cell.split { $0 == "," || $0 == " " || $0 == "`" }
            })
        return known.subtracting(shown).sorted().map { "README.md does not say what \($0) means" }
            + shown.subtracting(known).sorted().map { "README.md explains \($0), which nobody says" }
    }

    /// The metrics that the sources name and the manual's table of them must be the same.
    static func metricsThatDiffer(_ files: [File], readme: File) -> [String] {
        func names(_ lines: [Substring], _ quote: Character) -> Set<Substring> {
            Set(
                lines.flatMap { $0.split(separator: quote) }.filter { word in
                    ["ringway_", "process_", "kubeproxy_", "coredns_"].contains { word.hasPrefix($0) && word.count > $0.count }
                })
        }
        let known = names(files.filter { $0.path.hasPrefix("Sources/AdminServer/Metrics/") }.flatMap(\.lines), "\"")
        let shown = names(readme.lines.drop { !$0.hasPrefix("| metric |") }.prefix { $0.hasPrefix("|") }, "`")
        return known.subtracting(shown).sorted().map { "README.md has no row for \($0)" }
            + shown.subtracting(known).sorted().map { "README.md has a row for \($0), which nobody gives" }
    }

    /// Options a document shows that the program does not know.
    static func unknownOptions(_ document: File, known: String) -> [String] {
        let words = document.text.split { !($0.isLetter || $0 == "-") }
        let options = Set(words.filter { $0.hasPrefix("--") && $0.count > 3 }).subtracting(optionsOfOthers)
        return options.filter { !known.contains($0) }.sorted().map { "\(document.path): no command has the option \($0)" }
    }

    /// Options of our scripts and of other programs that README shows.
    static let optionsOfOthers: Set<Substring> = ["--check", "--filter", "--product", "--unix-socket"]

    // MARK: -

    private static func findings(in files: [File], _ rule: (String) -> String?) -> [String] {
        files.flatMap { file in
            codeOnly(file.text).enumerated().compactMap { index, line in rule(line).map { "\(file.path):\(index + 1): \($0)" } }
        }
    }
}
