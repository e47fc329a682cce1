-- Which layer of a model served a call: its model and where that is, such as `openai/gpt-5 at api.example:3000`.

alter table usage add column route text;
