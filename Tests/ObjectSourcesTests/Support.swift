import Foundation
import ServiceModel

@testable import ObjectSources

/// A directory of a test's own, removed with it.
final class Scratch {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "ringway-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        // The real path: on some systems the temporary directory is a link.
        path = url.resolvingSymlinksInPath().path
    }

    deinit {
        try? FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        try? FileManager.default.removeItem(atPath: path)
    }

    func url(_ name: String) -> URL { URL(filePath: path).appending(path: name) }

    func path(_ name: String) -> String { url(name).path }

    /// Writes in place, as an editor that does not rename would.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try Data(text.utf8).write(to: url(name))
        return path(name)
    }

    /// Writes beside and renames over.
    func replace(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: url(".\(name).new"))
        guard unsafe rename(path(".\(name).new"), path(name)) == 0 else { throw POSIXError(.EIO) }
    }

    func remove(_ name: String) throws {
        try FileManager.default.removeItem(at: url(name))
    }

    func makeDirectory(_ name: String) throws {
        try FileManager.default.createDirectory(at: url(name), withIntermediateDirectories: false)
    }

    func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: path(name), withDestinationPath: target)
    }
}

/// A Service as a manifest.
func serviceYAML(_ name: String, port: Int = 80) -> String {
    """
    apiVersion: v1
    kind: Service
    metadata: {name: \(name)}
    spec:
      externalIPs: [10.0.0.1]
      ports:
      - port: \(port)

    """
}

/// An EndpointSlice of a Service as a manifest.
func sliceYAML(of service: String, type: String = "IPv4") -> String {
    """
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: \(service)-1, labels: {kubernetes.io/service-name: \(service)}}
    addressType: \(type)
    endpoints: [{addresses: ['\(type == "IPv4" ? "10.0.0.2" : "fd00::2")']}]
    ports: [{port: 80}]

    """
}

func read(_ text: String, limits: ManifestLimits = ManifestLimits(), file: String = "f.yaml") -> ManifestText {
    ManifestReader(limits: limits).read(Array(text.utf8), file: file)
}

/// All diagnostics of a text, its objects' included, as `check` prints them.
func findings(_ text: String, limits: ManifestLimits = ManifestLimits()) -> [String] {
    let manifest = read(text, limits: limits)
    return (manifest.diagnostics + manifest.documents.flatMap(ObjectDecoder.decode).flatMap(\.diagnostics)).map(\.description)
}

/// Names of the Services in a text that can be used.
func serviceNames(_ text: String) -> [String] {
    read(text).documents.flatMap(ObjectDecoder.decode).compactMap(\.object?.metadata.name)
}

extension ManifestState {
    var names: [String] { objects.map(\.metadata.name) }
    var errors: [String] { diagnostics.filter { $0.severity == .error }.map(\.message) }

    /// The port of a Service's first port; nil where it is not in force.
    func port(of name: String) -> String? {
        for object in objects where object.metadata.name == name {
            if case .service(let service) = object.body { return service.ports.first.map { "\($0.port)" } }
        }
        return nil
    }
}

/// Random numbers that a seed repeats.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
