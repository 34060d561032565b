import CoreGraphics
import Observation
import RecognizerKit

/// The user's drawing, and the recognizer's result.
@MainActor
@Observable
final class DrawingModel {
    private(set) var sketch = Sketch()
    private(set) var answer: Answer?
    /// An error message for the user, if recognition failed.
    private(set) var problem: String?

    let ink: Ink
    private let recognizer: Recognizer
    private let rule: StillRule
    private var isDrawing = false
    private var isRecognizing = false

    init(recognizer: Recognizer) {
        self.recognizer = recognizer
        rule = StillRule(configuration: recognizer.configuration)
        ink = recognizer.configuration.input.ink
    }

    /// The finger is at `point`, from (0, 0) in the upper left corner of the canvas to (1, 1).
    func touch(at point: CGPoint) {
        if isDrawing {
            sketch.move(to: point)
        } else {
            isDrawing = true
            sketch.begin(at: point)
        }
        recognize()
    }

    func liftFinger() {
        isDrawing = false
    }

    func undo() {
        sketch.undo()
        recognize()
    }

    func clear() {
        sketch.clear()
        recognize()
    }

    /// Recognizes one version of the sketch at a time. If the sketch has changed in the meantime,
    /// continues with the newest version.
    private func recognize() {
        guard !isRecognizing else { return }
        isRecognizing = true
        Task {
            var seen: Sketch?
            while seen != sketch {
                seen = sketch
                await recognize(sketch)
            }
            isRecognizing = false
        }
    }

    private func recognize(_ sketch: Sketch) async {
        guard !sketch.isEmpty else {
            answer = nil
            return
        }
        do {
            let picture = try SketchRenderer.picture(of: sketch, ink: ink)
            answer = try rule.answer(to: try await recognizer.recognize(picture).labels)
            problem = nil
        } catch {
            answer = nil
            problem = error.localizedDescription
        }
    }
}
