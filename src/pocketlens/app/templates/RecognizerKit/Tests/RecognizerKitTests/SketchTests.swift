import Foundation
import Testing

@testable import RecognizerKit

@Suite struct SketchTests {
    private let first = CGPoint(x: 0.1, y: 0.2)
    private let second = CGPoint(x: 0.3, y: 0.4)

    @Test func moveStartsAStroke() {
        var sketch = Sketch()
        sketch.move(to: first)
        #expect(sketch.strokes == [[first]])
    }

    @Test func strokesAreSeparate() {
        var sketch = Sketch()
        sketch.begin(at: first)
        sketch.move(to: second)
        sketch.begin(at: second)
        #expect(sketch.strokes == [[first, second], [second]])
    }

    @Test func undoRemovesTheLastStroke() {
        var sketch = Sketch()
        sketch.begin(at: first)
        sketch.begin(at: second)
        sketch.undo()
        #expect(sketch.strokes == [[first]])
        sketch.undo()
        sketch.undo()
        #expect(sketch.isEmpty)
    }

    @Test func clearRemovesAllStrokes() {
        var sketch = Sketch()
        sketch.begin(at: first)
        sketch.begin(at: second)
        sketch.clear()
        #expect(sketch.isEmpty)
    }
}
