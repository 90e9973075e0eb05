import ControlPlane
import ServiceModel
import Testing

@testable import CLI

struct CommandLineObjectsTests {
    private static func object(_ name: String, line: Int) -> KubernetesObject {
        KubernetesObject(
            metadata: ObjectMetadata(name: name), body: .service(Service()),
            location: SourceLocation(file: "web.yaml", line: line, column: 1))
    }

    @Test func whatTheCommandLineNamesPrevailsForAsLongAsAFileNamesItToo() throws {
        let shorthand = try Shorthand("80=81")
        var commandLine = CommandLineObjects([shorthand])
        let name = shorthand.object.metadata.name
        func prevail(_ change: ObjectChange) -> ServiceAdmission.Admitted {
            var admitted = ServiceAdmission.Admitted(change: change)
            commandLine.prevail(over: &admitted)
            return admitted
        }
        let first = prevail(ObjectChange(changed: [Self.object(name, line: 3), Self.object("other", line: 9)]))
        #expect(first.change.changed.map(\.metadata.name) == ["other"])
        #expect(first.diagnostics.map(\.location.description) == ["web.yaml:3:1"])
        #expect(first.diagnostics.first?.message.contains("is also on the command line") == true)
        #expect(prevail(ObjectChange()).diagnostics == first.diagnostics, "it stands there still")
        let last = prevail(ObjectChange(removed: [shorthand.object.key, Self.object("other", line: 9).key]))
        #expect(last.change.removed.map(\.name) == ["other"] && last.diagnostics.isEmpty)
    }
}
