package import ServiceModel

/// One version of an object as a file gives it. Whoever holds it shares it.
package indirect enum ObjectVersion: Hashable, Sendable {
    /// A valid one.
    case object(KubernetesObject)
    /// A Service as it is written, for a registry to judge.
    case service(ServiceManifest)
}

/// What one document says, or one item of a list.
package struct Declaration: Hashable, Sendable {
    /// Its identity, where kind and name could be read, whether or not the rest is valid.
    package let key: ObjectKey?
    /// nil where it was refused, and where it is of a kind that is skipped.
    package let version: ObjectVersion?
    /// Every finding about it, warnings too.
    package let diagnostics: [Diagnostic]
    /// Where it begins.
    package let location: SourceLocation

    package init(_ decoded: DecodedObject) {
        key = decoded.key
        diagnostics = decoded.diagnostics
        location = decoded.location
        version = decoded.isRejected ? nil : decoded.object.map { .object($0) } ?? decoded.manifest.map { .service($0) }
    }

    /// It has at least one error and must not be used.
    package var isRejected: Bool { diagnostics.contains { $0.severity == .error } }
}

/// What one file held when it was last read.
package struct LoadedFile: Hashable, Sendable {
    /// As the root named it, or the root and a name.
    package var path: String
    /// The root that it was found by.
    package var root: String
    /// What its documents hold, refused objects too, in order.
    package var declarations: [Declaration]
    /// What concerns the file or a document that could not be read, not one object.
    package var diagnostics: [Diagnostic]
    /// Documents whose objects are unknown, the whole file as one where it could not be read.
    package var unreadableDocuments: Int

    package init(
        path: String, root: String, declarations: [Declaration] = [], diagnostics: [Diagnostic] = [], unreadableDocuments: Int = 0
    ) {
        self.path = path
        self.root = root
        self.declarations = declarations
        self.diagnostics = diagnostics
        self.unreadableDocuments = unreadableDocuments
    }
}

/// A root as it is now: a file, a directory or standard input.
package struct LoadedRoot: Hashable, Sendable {
    /// As it was given.
    package var path: String
    /// False where it is missing or can't be read, and then nothing is known of its files.
    package var isKnown: Bool
    /// What concerns the root itself.
    package var diagnostics: [Diagnostic]

    package init(path: String, isKnown: Bool = true, diagnostics: [Diagnostic] = []) {
        self.path = path
        self.isKnown = isKnown
        self.diagnostics = diagnostics
    }
}

/// What a load has found to be other than before.
package struct LoadedChange: Hashable, Sendable {
    /// All roots, in their order.
    package var roots: [LoadedRoot]
    /// Files that are new, or were read again.
    package var files: [LoadedFile]
    /// Paths of files that are no more, and of those whose root is unknown now.
    package var removed: [String]

    package init(roots: [LoadedRoot], files: [LoadedFile] = [], removed: [String] = []) {
        self.roots = roots
        self.files = files
        self.removed = removed
    }
}
