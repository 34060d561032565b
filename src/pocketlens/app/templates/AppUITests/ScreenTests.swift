import XCTest

/// Uses the app like a user. Also runs in the simulator, which has no camera but accepts drawings.
final class ScreenTests: XCTestCase {
    override func setUp() {
        continueAfterFailure = false
    }

    @MainActor func testDrawingIsRecognizedAndUndone() {
        let app = launch(with: "drawing")
        let canvas = element("canvas", of: app)
        XCTAssert(canvas.waitForExistence(timeout: 10))
        let undo = app.buttons["Undo"]
        XCTAssertFalse(undo.isEnabled)

        let top = canvas.coordinate(withNormalizedOffset: CGVector(dx: 0.5, dy: 0.2))
        let bottom = canvas.coordinate(withNormalizedOffset: CGVector(dx: 0.5, dy: 0.8))
        top.press(forDuration: 0.1, thenDragTo: bottom)
        let percent = app.descendants(matching: .any)
            .matching(NSPredicate(format: "label CONTAINS '%'")).firstMatch
        XCTAssert(percent.waitForExistence(timeout: 30), "the model returned no result")
        XCTAssert(undo.isEnabled)

        undo.tap()
        XCTAssertFalse(undo.isEnabled)
        XCTAssertFalse(percent.exists)
    }

    @MainActor func testEveryTabOpens() {
        let app = launch(with: "drawing")
        app.tabBars.buttons["Photo"].tap()
        XCTAssert(app.buttons["Choose a photo"].waitForExistence(timeout: 10))
        app.tabBars.buttons["Draw"].tap()
        XCTAssert(element("canvas", of: app).waitForExistence(timeout: 10))
    }

    @MainActor func testScreensAreAccessible() throws {
        for source in ["drawing", "photo"] {
            let app = launch(with: source)
            try app.performAccessibilityAudit(
                for: [.hitRegion, .sufficientElementDescription, .trait]
            )
        }
    }

    @MainActor private func launch(with source: String) -> XCUIApplication {
        let app = XCUIApplication()
        app.launchArguments = [
            "-inputSource", source, "-AppleLanguages", "(en)", "-AppleLocale", "en_US",
        ]
        app.launch()
        return app
    }

    @MainActor private func element(_ identifier: String, of app: XCUIApplication) -> XCUIElement {
        app.descendants(matching: .any)[identifier].firstMatch
    }
}
