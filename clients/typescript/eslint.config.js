import js from "@eslint/js";
import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
    // Generated code is diffed against its generator, not styled.
    { ignores: ["dist/", "gen/"] },
    { linterOptions: { reportUnusedDisableDirectives: "error" } },
    {
        files: ["**/*.ts"],
        extends: [
            js.configs.recommended,
            tseslint.configs.strictTypeChecked,
            tseslint.configs.stylisticTypeChecked,
        ],
        languageOptions: { parserOptions: { projectService: true } },
        rules: {
            "@typescript-eslint/explicit-module-boundary-types": "error",
            // A number in a message needs no ceremony.
            "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
            // Aborting rejects with the signal's reason, as the platform does, whatever that is.
            "@typescript-eslint/prefer-promise-reject-errors": "off",
        },
    },
    {
        files: ["test/**"],
        rules: {
            // describe() and test() of node:test return promises that the runner awaits.
            "@typescript-eslint/no-floating-promises": [
                "error",
                {
                    allowForKnownSafeCalls: [
                        { from: "package", package: "node:test", name: ["test", "describe"] },
                    ],
                },
            ],
        },
    },
);
