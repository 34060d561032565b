import Foundation
import RecognizerKit
import Testing

@Suite struct ConfigurationTests {
    private func json(
        classes: String = #"["a", "\"b\" 🦊", "שלום"]"#,
        background: String = "null",
        crop: String = "center-crop",
        keep: String = "0.5",
        ink: String = ""
    ) -> Data {
        Data(
            """
            {
              "name": "Digits", "model": "Recognizer", "background": \(background),
              "thresholds": {
                "show": 0.7, "keep": \(keep), "present": 0.9, "margin": 0.2, "hold": 3,
                "smoothing": 0.3
              },
              "input": {
                "height": 28, "width": 24, "color": "gray", "scale": [1], "bias": [0],
                "crop": "\(crop)"\(ink)
              },
              "classes": \(classes)
            }
            """.utf8
        )
    }

    @Test func allFieldsAreDecoded() throws {
        let configuration = try RecognizerConfiguration(json: json())
        #expect(configuration.name == "Digits")
        #expect(configuration.model == "Recognizer")
        #expect(configuration.background == nil)
        #expect(configuration.classes == ["a", "\"b\" 🦊", "שלום"])
        #expect(
            configuration.input
                == InputSpec(height: 28, width: 24, color: .gray, crop: .centerCrop)
        )
        #expect(
            configuration.thresholds
                == Thresholds(
                    show: 0.7, keep: 0.5, present: 0.9, margin: 0.2, hold: 3, smoothing: 0.3
                )
        )
    }

    @Test(arguments: [("center-crop", Crop.centerCrop), ("fit", Crop.fit), ("fill", Crop.fill)])
    func allCropsAreDecoded(name: String, crop: Crop) throws {
        #expect(try RecognizerConfiguration(json: json(crop: name)).input.crop == crop)
    }

    @Test(arguments: [
        (#", "ink": "light""#, Ink.light), (#", "ink": "dark""#, Ink.dark), ("", Ink.dark),
    ])
    func inkDefaultsToDark(field: String, ink: Ink) throws {
        #expect(try RecognizerConfiguration(json: json(ink: field)).input.ink == ink)
    }

    @Test func backgroundMustBeAClass() throws {
        #expect(try RecognizerConfiguration(json: json(background: #""a""#)).background == "a")
        #expect(throws: ConfigurationError.unknownBackground("z")) {
            _ = try RecognizerConfiguration(json: json(background: #""z""#))
        }
    }

    @Test func invalidConfigurationsAreRejected() {
        #expect(throws: ConfigurationError.noClasses) {
            _ = try RecognizerConfiguration(json: json(classes: "[]"))
        }
        #expect(throws: ConfigurationError.repeatedClass) {
            _ = try RecognizerConfiguration(json: json(classes: #"["a", "a"]"#))
        }
        #expect(throws: ConfigurationError.thresholds) {
            _ = try RecognizerConfiguration(json: json(keep: "0.8"))
        }
        #expect(throws: DecodingError.self) {
            _ = try RecognizerConfiguration(json: json(crop: "stretch"))
        }
    }
}
