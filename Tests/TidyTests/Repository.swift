import Foundation

/// The files of the repository, as a reviewer would see them: what git tracks or would track, not what a build left behind.
struct Repository {
    struct File: Sendable {
        /// From the repository's root: `Sources/Engine/Driver.swift`.
        let path: String
        let text: String

        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        var isSwift: Bool { path.hasSuffix(".swift") }
        /// `Engine` for a file of that target under Sources or Tests.
        var target: String? {
            let parts = path.split(separator: "/")
            return parts.count > 2 && ["Sources", "Tests"].contains(parts[0]) ? String(parts[1]) : nil
        }
    }

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    static let files: [File] = {
        let top = root.path
        guard let paths = FileManager.default.enumerator(atPath: top) else { return [] }
        var files: [File] = []
        while let path = paths.nextObject() as? String {
            let name = path.split(separator: "/").last ?? ""
            let isFolder = paths.fileAttributes?[.type] as? FileAttributeType == .typeDirectory
            if isFolder {
                if name == ".git" || name == "__pycache__" || name.hasPrefix(".build") { paths.skipDescendants() }
                continue
            }
            guard name != ".git", name != "Package.resolved", !name.hasSuffix(".swp") else { continue }
            guard let bytes = FileManager.default.contents(atPath: "\(top)/\(path)") else { continue }
            files.append(File(path: path, text: String(decoding: bytes, as: UTF8.self)))
        }
        return files.sorted { $0.path < $1.path }
    }()

    static var swiftFiles: [File] { files.filter(\.isSwift) }

    static func file(_ path: String) -> File? { files.first { $0.path == path } }

    static func isExecutable(_ path: String) -> Bool {
        FileManager.default.isExecutableFile(atPath: root.appendingPathComponent(path).path)
    }
}

/// A text without its comments and the contents of its strings, line by line: what the rules about code look at.
func codeOnly(_ text: String) -> [String] {
    var inBlock = false
    var inString = false
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        if line.contains("\"\"\"") {
            inString.toggle()
            return ""
        }
        if inString { return "" }
        var code = ""
        var rest = line[...]
        var inQuotes = false
        while let character = rest.first {
            if inBlock {
                if rest.hasPrefix("*/") {
                    inBlock = false
                    rest = rest.dropFirst()
                }
            } else if inQuotes {
                if character == "\\" {
                    rest = rest.dropFirst()
                } else if character == "\"" {
                    inQuotes = false
                    code += "\""
                }
            } else if rest.hasPrefix("//") {
                break
            } else if rest.hasPrefix("/*") {
                inBlock = true
                rest = rest.dropFirst()
            } else {
                if character == "\"" { inQuotes = true }
                code.append(character)
            }
            rest = rest.dropFirst()
        }
        return code
    }
}
