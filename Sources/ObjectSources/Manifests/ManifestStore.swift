internal import ServiceModel

/// Merges what files say into what is in force, file by file. Pure. Work is for what has changed: of each identity it is known which
/// files declare it, of each file what it declares, and a load looks again at the identities of the files that it has read.
///
/// - A refused object keeps its last good version; the others of its file go on.
/// - Where a document could not be read at all, whatever its file held and no longer names is kept: it may be in there.
/// - A file gone from a readable directory is gone, its objects too.
/// - A root that is missing or unreadable keeps everything it had.
/// - A root that loses all its Services at once, or all their endpoints, keeps them (`LossGuard`).
/// - An identity that several files name belongs to the first by path; each of the others is an error naming both places.
package struct ManifestStore: Sendable {
    /// What is in force under an identity, and who gave it.
    struct Held: Equatable, Sendable {
        let version: ObjectVersion
        let path: String
        let root: String
    }

    /// Where an identity is declared.
    private struct Site: Comparable, Sendable {
        let path: String
        let index: Int

        static func < (left: Site, right: Site) -> Bool { (left.path, left.index) < (right.path, right.index) }
    }

    private struct Identity: Sendable {
        /// The first of them counts.
        var sites: [Site] = []
        var held: Held?

        mutating func insert(_ site: Site) {
            sites.insert(site, at: sites.firstIndex { site < $0 } ?? sites.endIndex)
        }
    }

    private struct File: Sendable {
        let loaded: LoadedFile
        /// Something is in it of which not even the identity is known.
        let hasUnknownPart: Bool
        /// What is wrong with its declarations beside others, by their index.
        var remarks: [Int: Diagnostic] = [:]
        /// Identities kept because they may be in the unknown part, and some that were.
        var kept: Set<ObjectKey> = []
        var rejectedObjects = 0

        init(_ loaded: LoadedFile) {
            self.loaded = loaded
            hasUnknownPart = loaded.unreadableDocuments > 0 || loaded.declarations.contains { $0.key == nil && $0.isRejected }
        }
    }

    /// What one load makes it look at again.
    private struct Round {
        var keys: Set<ObjectKey>
        var paths: Set<String> = []
    }

    private var files: [String: File] = [:]
    private var identities: [ObjectKey: Identity] = [:]
    private var roots: [LoadedRoot] = []
    private var unknownRoots: Set<String> = []
    /// Those of them that have never been known.
    private var unseenRoots: Set<String> = []
    /// What the next load would make something else of, whatever it brings: it turned on what was in force, and that has changed.
    private var unsettled: Set<ObjectKey> = []
    private var losses: LossGuard

    /// Of the files that have any.
    private var findings: [String: [Diagnostic]] = [:]
    private var diagnostics: [Diagnostic] = []
    private var rejectedObjects = 0

    /// - Parameter holdsLosses: whether a root that loses everything at once is held back.
    package init(holdsLosses: Bool = true) {
        losses = LossGuard(isOn: holdsLosses)
    }

    /// Takes the result of a load and says what is other than before.
    package mutating func apply(_ change: LoadedChange) -> ManifestChange {
        var round = Round(keys: unsettled)
        unsettled = []
        for path in change.removed { replace(path, with: nil, in: &round) }
        for file in change.files { replace(file.path, with: file, in: &round) }
        let rootsChanged = roots != change.roots
        if rootsChanged { replaceRoots(with: change.roots, in: &round) }
        var result = settle(&round)
        let findingsChanged = round.paths.count { judge($0) } > 0
        if rootsChanged || findingsChanged || losses.hasChanged {
            let all =
                roots.flatMap(\.diagnostics) + findings.keys.sorted().flatMap { findings[$0] ?? [] } + losses.diagnostics(of: roots)
            result.diagnosticsChanged = all != diagnostics
            if result.diagnosticsChanged { diagnostics = all }
        }
        result.diagnostics = diagnostics
        result.rejectedObjects = rejectedObjects
        result.missesRoots = !unseenRoots.isEmpty
        return result
    }

    /// All that is in force.
    package var state: ManifestState {
        var state = ManifestState(diagnostics: diagnostics, rejectedObjects: rejectedObjects)
        for (_, identity) in identities.sorted(by: { $0.key < $1.key }) {
            guard let held = identity.held else { continue }
            switch held.version {
            case .object(let object): state.objects.append(object)
            case .service(let manifest): state.services.append(manifest)
            }
        }
        return state
    }

    // MARK: What was read

    private mutating func replace(_ path: String, with file: LoadedFile?, in round: inout Round) {
        round.paths.insert(path)
        round.keys.formUnion(losses.heldBack(from: path))
        if let old = files.removeValue(forKey: path) {
            rejectedObjects -= old.rejectedObjects
            round.keys.formUnion(old.kept)
            for declaration in old.loaded.declarations {
                guard let key = declaration.key else { continue }
                round.keys.insert(key)
                identities[key]?.sites.removeAll { $0.path == path }
            }
        }
        guard let file else { return }
        for (index, declaration) in file.declarations.enumerated() {
            guard let key = declaration.key else { continue }
            round.keys.insert(key)
            identities[key, default: Identity()].insert(Site(path: path, index: index))
        }
        files[path] = File(file)
    }

    private mutating func replaceRoots(with new: [LoadedRoot], in round: inout Round) {
        let known = Set(roots.map(\.path)).subtracting(unseenRoots)
        roots = new
        let unknown = Set(new.filter { !$0.isKnown }.map(\.path))
        let turned = unknown.symmetricDifference(unknownRoots)
        unknownRoots = unknown
        unseenRoots = unknown.subtracting(known)
        guard !turned.isEmpty else { return }
        for (key, identity) in identities where identity.held.map({ turned.contains($0.root) }) ?? false { round.keys.insert(key) }
    }

    // MARK: What is in force

    private mutating func settle(_ round: inout Round) -> ManifestChange {
        var before: [(key: ObjectKey, version: ObjectVersion?)] = []
        before.reserveCapacity(round.keys.count)
        for key in round.keys {
            let held = identities[key]?.held
            let chosen = choose(key, held, in: &round)
            before.append((key, held?.version))
            if !losses.note(key, was: held, is: chosen) { identities[key]?.held = chosen }
        }
        for key in losses.judge() {
            if !round.keys.contains(key) { before.append((key, identities[key]?.held?.version)) }
            identities[key]?.held = nil
        }
        var change = ManifestChange()
        for (key, old) in before.sorted(by: { $0.key < $1.key }) {
            guard let identity = identities[key] else { continue }
            switch identity.held?.version {
            case old: break
            case .object(let object)?: change.objects.append(object)
            case .service(let manifest)?: change.services.append(manifest)
            case nil: change.removed.append(key)
            }
            if identity.sites.isEmpty, identity.held == nil { identities[key] = nil }
        }
        return change
    }

    /// What is to be in force under an identity where `held` is now; says what is wrong with its declarations.
    private mutating func choose(_ key: ObjectKey, _ held: Held?, in round: inout Round) -> Held? {
        guard let sites = identities[key]?.sites, let first = sites.first, let declaration = declaration(at: first) else {
            return held.flatMap { mayBeThere(key, $0) ? $0 : nil }
        }
        let refusal = declaration.version?.refusal(replacing: held?.version)
        remark(refusal, at: first, in: &round)
        let isRejected = declaration.isRejected || refusal != nil
        var chosen = isRejected ? held : self.held(at: first) ?? held
        for site in sites.dropFirst() {
            // The first by path wins, unless it is refused and was never good: then nothing is gained by refusing the second too.
            var verdict = "that one is used, this one is not"
            if isRejected, held?.path != first.path, let second = self.held(at: site) {
                chosen = second
                verdict = "that one is refused, so this one is used"
            }
            remark(
                Diagnostic(
                    severity: .error, location: self.declaration(at: site)?.location ?? declaration.location, object: key,
                    message: "\(key) is already defined at \(declaration.location); \(verdict)"),
                at: site, in: &round)
        }
        if isRejected, chosen != held { unsettled.insert(key) }
        return chosen
    }

    /// Whether what nobody declares may stand where nothing could be read.
    private mutating func mayBeThere(_ key: ObjectKey, _ held: Held) -> Bool {
        guard files[held.path]?.hasUnknownPart == true else { return unknownRoots.contains(held.root) }
        files[held.path]?.kept.insert(key)
        return true
    }

    private func declaration(at site: Site) -> Declaration? { files[site.path]?.loaded.declarations[site.index] }

    private func held(at site: Site) -> Held? {
        guard let file = files[site.path], let version = file.loaded.declarations[site.index].version else { return nil }
        return Held(version: version, path: file.loaded.path, root: file.loaded.root)
    }

    // MARK: What is wrong

    private mutating func remark(_ remark: Diagnostic?, at site: Site, in round: inout Round) {
        guard files[site.path]?.remarks[site.index] != remark else { return }
        files[site.path]?.remarks[site.index] = remark
        round.paths.insert(site.path)
    }

    /// Puts together what is to be said of a file, and whether that is other than before.
    private mutating func judge(_ path: String) -> Bool {
        var found: [Diagnostic] = []
        if let file = files[path] {
            found = file.loaded.diagnostics
            var rejected = file.loaded.unreadableDocuments
            for (index, declaration) in file.loaded.declarations.enumerated() {
                let remark = file.remarks[index]
                found += declaration.diagnostics
                if let remark { found.append(remark) }
                if remark != nil || declaration.isRejected { rejected += 1 }
            }
            found.sort { ($0.location.line, $0.location.column) < ($1.location.line, $1.location.column) }
            rejectedObjects += rejected - file.rejectedObjects
            files[path]?.rejectedObjects = rejected
        }
        guard found != findings[path] ?? [] else { return false }
        findings[path] = found.isEmpty ? nil : found
        return true
    }
}

extension ObjectVersion {
    fileprivate func refusal(replacing old: ObjectVersion?) -> Diagnostic? {
        guard case .object(let object) = self, case .object(let before)? = old else { return nil }
        return object.refusal(replacing: before)
    }
}
