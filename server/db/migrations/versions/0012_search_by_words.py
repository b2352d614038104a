"""search by words: the terms of passages in the database's own text index, and the counts of each document

Revision: 0012
After: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

# FTS5 keeps no text of its own: it reads `chunk.tokens`, and these keep it in step, whoever deletes chunks and by what cascade.
_SQLITE = (
    "CREATE VIRTUAL TABLE chunk_fts USING fts5(tokens, content='chunk', content_rowid='id', detail='none', columnsize=0, tokenize='ascii')",
    "CREATE TRIGGER chunk_fts_insert AFTER INSERT ON chunk WHEN new.tokens IS NOT NULL BEGIN"
    " INSERT INTO chunk_fts(rowid, tokens) VALUES (new.id, new.tokens); END",
    "CREATE TRIGGER chunk_fts_delete AFTER DELETE ON chunk WHEN old.tokens IS NOT NULL BEGIN"
    " INSERT INTO chunk_fts(chunk_fts, rowid, tokens) VALUES ('delete', old.id, old.tokens); END",
    "CREATE TRIGGER chunk_fts_take_out BEFORE UPDATE OF tokens ON chunk WHEN old.tokens IS NOT NULL BEGIN"
    " INSERT INTO chunk_fts(chunk_fts, rowid, tokens) VALUES ('delete', old.id, old.tokens); END",
    "CREATE TRIGGER chunk_fts_put_in AFTER UPDATE OF tokens ON chunk WHEN new.tokens IS NOT NULL BEGIN"
    " INSERT INTO chunk_fts(rowid, tokens) VALUES (new.id, new.tokens); END",
)


def upgrade() -> None:
    # Never as a batch, see 0002.
    op.add_column('knowledge_base', sa.Column('retrieval', sa.JSON(none_as_null=True), nullable=True))
    op.add_column('chunk', sa.Column('tokens', sa.Text().with_variant(mysql.LONGTEXT(), 'mysql', 'mariadb'), nullable=True))
    op.create_table('document_terms',
    sa.Column('document_id', sa.String(length=32), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('passages', sa.Integer(), nullable=False),
    sa.Column('length', sa.BigInteger(), nullable=False),
    sa.Column('packed', sa.LargeBinary().with_variant(mysql.LONGBLOB(), 'mysql', 'mariadb'), nullable=False),
    sa.ForeignKeyConstraint(['document_id'], ['document.id'], name=op.f('fk_document_terms_document_id_document'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('document_id', name=op.f('pk_document_terms')),
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_bin'
    )
    dialect = op.get_bind().dialect.name
    if dialect == 'sqlite':
        for statement in _SQLITE:
            op.execute(statement)
    elif dialect == 'postgresql':
        op.execute("CREATE INDEX chunk_fts ON chunk USING gin (string_to_array(tokens, ' '))")
    else:
        op.execute("ALTER TABLE chunk ADD FULLTEXT INDEX chunk_fts (tokens)")


def downgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for trigger in ('insert', 'delete', 'take_out', 'put_in'):
            op.execute(f"DROP TRIGGER chunk_fts_{trigger}")
        op.execute("DROP TABLE chunk_fts")
    elif op.get_bind().dialect.name == 'postgresql':
        op.execute("DROP INDEX chunk_fts")
    else:
        op.execute("ALTER TABLE chunk DROP INDEX chunk_fts")
    op.drop_table('document_terms')
    op.drop_column('chunk', 'tokens')
    op.drop_column('knowledge_base', 'retrieval')
